#include <chrono>
#include <utility>

#include "../interrupt.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "storage_contestant.hpp"

namespace spillway::bench {

namespace {

// As a recorder does: block by block, a flush each second, sealed at the end.
void record(Sink& sink, const StorageSamples& samples, std::uint64_t blocks) {
  RecordingInfo info;
  info.streams = {samples.info()};
  sink.begin(info);
  auto flushed = std::chrono::steady_clock::now();
  for (std::uint64_t b = 0; b < blocks; ++b) {
    check_interrupted();
    sink.append(0, samples.chunk(b), samples.block(b), samples.calibrations());
    const auto now = std::chrono::steady_clock::now();
    if (now - flushed < std::chrono::seconds(1)) continue;
    flushed = now;
    sink.flush();
  }
  sink.close({});
}

StorageContestant hdf5(const char* name, const StorageSamples& samples, Hdf5Options options) {
  return {.name = name,
          .run =
              [&samples, options](const std::string& directory, std::uint64_t blocks) {
                return taken_by([&] {
                  Hdf5Sink sink(directory + "/run.h5", Existing::refuse, options);
                  record(sink, samples, blocks);
                });
              },
          .wrong =
              [&samples](const std::string& directory, std::uint64_t blocks) {
                return wrong_in_hdf5(directory + "/run.h5", "/entry/data", samples, blocks);
              }};
}

}  // namespace

StorageContestants spillway_hdf5(const StorageSamples& samples) {
  return {hdf5(sink_process, samples, {.durability = Durability::process}),
          hdf5(sink_full, samples, {.durability = Durability::full}),
          hdf5("Hdf5Sink, none", samples, {.durability = Durability::none})};
}

StorageContestants spillway_hdf5_compressed(const StorageSamples& samples) {
  StorageContestants all;
  for (std::size_t threads = 0; threads < sink_threads.size(); ++threads)
    all.push_back(
        hdf5(sink_threads[threads], samples, {.compression = 1, .compression_threads = threads}));
  return all;
}

StorageContestants spillway_csv(const StorageSamples& samples) {
  return {{.name = csv_sink,
           .run =
               [&samples](const std::string& directory, std::uint64_t blocks) {
                 return taken_by([&] {
                   CsvSink sink(directory + "/run.csv", Existing::refuse);
                   record(sink, samples, blocks);
                 });
               },
           .wrong =
               [&samples](const std::string& directory, std::uint64_t blocks) {
                 return wrong_in_csv(directory + "/run.csv", samples, blocks);
               }}};
}

}  // namespace spillway::bench
