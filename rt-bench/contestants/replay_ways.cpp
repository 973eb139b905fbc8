#include "replay_ways.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "../interrupt.hpp"
#include "script.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/engine/replay.hpp"
#include "spillway/filters/iir.hpp"
#include "spillway/storage/copy.hpp"
#include "spillway/storage/hdf5_sink.hpp"

namespace spillway::bench {

namespace {

constexpr const char* mean = "mean";
constexpr const char* low = "low";

GraphSpec chain() {
  GraphSpec spec;
  spec.nodes.push_back({mean, {"data"}, MovingAverage{.window = replay_window}});
  spec.nodes.push_back({low, {mean}, lowpass(Butterworth{.order = 4}, Hertz{replay_cutoff_hz})});
  return spec;
}

std::string sections() {
  std::string words;
  const Sos sos = design(lowpass(Butterworth{.order = 4}, Hertz{replay_cutoff_hz}),
                         Hertz{static_cast<double>(storage_rate_hz)});
  for (const auto& s : sos.sections)
    words +=
        fmt::format("{}{},{},{},1,{},{}", words.empty() ? "" : ",", s.b0, s.b1, s.b2, s.a1, s.a2);
  return words;
}

class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t), const std::string& what) : id_(id), close_(close) {
    if (id < 0) throw Error(fmt::format("{}: HDF5 fails", what));
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { close_(id_); }
  operator hid_t() const noexcept { return id_; }  // NOLINT(google-explicit-constructor)

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

void copy_objects(const std::string& input, const std::string& output) {
  {
    const Handle from(H5Fopen(input.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, input);
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, output);
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    const Handle to(H5Fcreate(output.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access), H5Fclose, output);
    if (H5Ocopy(from, "/entry/data", to, "data", H5P_DEFAULT, H5P_DEFAULT) < 0)
      throw Error(fmt::format("{}: HDF5 can't copy from {}", output, input));
  }
  const int fd = ::open(output.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Error(fmt::format("{}: {}", output, std::strerror(errno)));
  sync_and_close(fd, output);
}

// In MB; of this process since forget_peak().
double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) * 1.024e-3;
  return 0.0;
}
void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

std::optional<StorageTaken> timed(const std::function<void()>& work) {
  forget_peak();
  StorageTaken taken = taken_by(work);
  taken.memory_mb = peak_memory();
  return taken;
}

}  // namespace

void make_recording(const std::string& path, std::uint64_t rows, int compression) {
  const StorageSamples samples(8);
  Hdf5Sink sink(path, Existing::refuse,
                {.durability = Durability::none, .compression = compression});
  RecordingInfo info;
  info.streams = {samples.info()};
  sink.begin(info);
  for (std::uint64_t b = 0; b * storage_frames < rows; ++b) {
    check_interrupted();
    sink.append(0, samples.chunk(b), samples.block(b), samples.calibrations());
  }
  sink.close({});
}

ReplayWay replay_way(std::size_t threads) {
  return {.name = threads == 1 ? "replay, 1 thread" : fmt::format("replay, {} threads", threads),
          .run =
              [threads](const std::string& input, const std::string& output) {
                return timed([&] {
                  const Recording recording = Recording::open(input);
                  Hdf5Sink sink(output, Existing::refuse, {.durability = Durability::process});
                  ReplayOptions options;
                  options.graph = chain();
                  options.outputs = {low};
                  options.threads = threads;
                  if (!replay(recording, sink, options, [](const ReplayProgress&) {
                         return !interrupted();
                       }).finished)
                    check_interrupted();
                  sink.close({});
                });
              },
          .group = "/entry/low"};
}

ReplayWay script_way() {
  return {.name = "h5py, SciPy",
          .run =
              [](const std::string& input, const std::string& output) {
                return run_script("h5py, scipy", SPILLWAY_BENCH_REPLAY_FILTERS,
                                  fmt::format("{} /entry/data {} {} {}", quoted(input),
                                              quoted(output), replay_window, sections()));
              },
          .group = ""};
}

ReplayWay object_copy_way() {
  return {
      .name = "H5Ocopy",
      .run = [](const std::string& input,
                const std::string& output) { return timed([&] { copy_objects(input, output); }); },
      .group = "/data"};
}

ReplayWay sink_copy_way() {
  return {.name = "copy() to an Hdf5Sink",
          .run =
              [](const std::string& input, const std::string& output) {
                return timed([&] {
                  Hdf5Sink sink(output, Existing::refuse, {.durability = Durability::process});
                  copy(Recording::open(input), sink);
                  sink.close({});
                });
              },
          .group = "/entry/data"};
}

double largest_difference(const std::string& a, const std::string& a_group, const std::string& b,
                          const std::string& b_group) {
  // Where the two began differently does not show any more.
  constexpr hsize_t settled = 16'384;
  const Handle a_file(H5Fopen(a.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, a);
  const Handle b_file(H5Fopen(b.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, b);
  double most = 0.0;
  std::array<std::vector<double>, 2> rows;
  for (std::size_t c = 0; c < storage_channels; ++c) {
    const std::string name = fmt::format("/ch{:02}", c);
    const Handle a_set(H5Dopen2(a_file, (a_group + name).c_str(), H5P_DEFAULT), H5Dclose, a);
    const Handle b_set(H5Dopen2(b_file, (b_group + name).c_str(), H5P_DEFAULT), H5Dclose, b);
    const Handle a_space(H5Dget_space(a_set), H5Sclose, a);
    const Handle b_space(H5Dget_space(b_set), H5Sclose, b);
    const auto extent = H5Sget_simple_extent_npoints(a_space);
    if (extent != H5Sget_simple_extent_npoints(b_space))
      throw Error(fmt::format("{} and {}: {} is not of one size in both", a, b, name));
    const auto end = static_cast<hsize_t>(extent);
    for (hsize_t row = settled; row < end;) {
      const hsize_t count = std::min<hsize_t>(storage_chunk_rows, end - row);
      const Handle memory(H5Screate_simple(1, &count, nullptr), H5Sclose, name);
      for (std::size_t i = 0; i < 2; ++i) {
        rows[i].resize(count);
        const Handle& space = i == 0 ? a_space : b_space;
        if (H5Sselect_hyperslab(space, H5S_SELECT_SET, &row, nullptr, &count, nullptr) < 0 ||
            H5Dread(i == 0 ? a_set : b_set, H5T_NATIVE_DOUBLE, memory, space, H5P_DEFAULT,
                    rows[i].data()) < 0)
          throw Error(fmt::format("{}: {} can't be read", i == 0 ? a : b, name));
      }
      for (hsize_t i = 0; i < count; ++i) most = std::max(most, std::abs(rows[0][i] - rows[1][i]));
      row += count;
    }
  }
  return most;
}

}  // namespace spillway::bench
