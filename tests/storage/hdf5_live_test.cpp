// Readers of another make, along with a recording that grows.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include "hdf5_support.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

// Follows the file by h5py until told to end; says how often it looked. Fails with the first row,
// length or book that is not as it must be.
constexpr const char* follower = R"(
import mmap, struct, sys
import h5py, numpy as np

path, progress, whole_chunks = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
file = open(progress, "r+b")
shared = mmap.mmap(file.fileno(), 40)
told = lambda i: struct.unpack_from("<Q", shared, 8 * i)[0]

def check(data, name, first):
    n = np.arange(first, first + len(data), dtype=np.int64)
    if name.endswith("_quality"):
        right = np.where((n // 1500 % 2 == 0) | (n % 7 != 0), 0, 34)
    elif name == "time_ns":
        right = n * 1_000_000 + n % 3
    elif name == "time":
        right = (n * 1_000_000 + n % 3) / 1e9 if irregular else n / 500
        assert np.allclose(data, right, rtol=0, atol=1e-9), (name, first, len(data))
        return
    else:
        right = (n * 7 + int(name[2:]) * 13) % 101
    wrong = np.flatnonzero(data != right.astype(data.dtype))
    assert len(wrong) == 0, (name, first + wrong[0], data[wrong[0]], len(data), len(wrong))

looks = 0
partial = 0
while not told(2):
    with h5py.File(path, "r", libver="latest", swmr=True) as f:
        group, books = f["entry/stream"], f["entry/spillway/stream/segments"]
        names = [name for name in group]
        irregular = "time_ns" in group
        assert len(names) == (6 if irregular else 5), names
        columns = [group[name] for name in names]
        for look in range(25):
            flushed = told(1)
            books.refresh()
            booked = int(books["count"].sum())
            for name, column in zip(names, columns):
                column.refresh()
                rows = len(column)
                chunk = column.chunks[0]
                must = flushed // chunk * chunk if whole_chunks else flushed
                assert rows >= must, (name, rows, must)
                assert whole_chunks or rows >= booked, (name, rows, booked)
                start = 0 if look == 0 else max(0, rows - 2 * chunk)
                check(column[start:rows], name, start)
                assert rows <= told(0), (name, rows, told(0))
                partial += rows % chunk != 0
            assert booked <= told(0), booked
            looks += 1
            struct.pack_into("<Q", shared, 24, looks)
struct.pack_into("<Q", shared, 32, partial)
)";

struct Progress {
  std::atomic<std::uint64_t> appended;
  std::atomic<std::uint64_t> flushed;
  std::atomic<std::uint64_t> done;
  std::atomic<std::uint64_t> looks;
  std::atomic<std::uint64_t> partial;
};

}  // namespace

TEST_CASE("h5py follows a growing file and sees right rows only, as far as they were flushed") {
  if (std::system("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") != 0) {  // NOLINT
    WARN("no h5py at /usr/bin/python3: not tested");
    return;
  }
  const int compression = GENERATE(0, 1);
  const bool irregular = GENERATE(false, true);
  const std::uint64_t seed = new_seed();
  CAPTURE(seed, compression, irregular);
  std::mt19937_64 random(seed);
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  write_text(directory / "follow.py", follower);
  write_text(directory / "progress", std::string(sizeof(Progress), '\0'));
  const int fd = ::open((directory / "progress").c_str(), O_RDWR);
  void* const memory = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  REQUIRE(memory != MAP_FAILED);
  auto& progress = *static_cast<Progress*>(memory);

  StreamInfo info = make_info({SampleType::float64, SampleType::int16}, 64,
                              irregular ? std::nullopt : std::optional(Rate(500, 1)));
  Feed feed(info, 0);
  Hdf5Sink sink(path, Existing::refuse,
                {.durability = Durability::process, .compression = compression});
  sink.begin(recording_of({info}));
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/usr/bin/python3", "python3", (directory / "follow.py").c_str(),
            (path + ".part").c_str(), (directory / "progress").c_str(), compression > 0 ? "1" : "0",
            nullptr);
    ::_exit(127);
  }
  int status = 0;
  bool alive = true;
  // So much happens to the file with each of its looks.
  const std::uint64_t looks = soak(75, 40);
  while (alive && progress.looks < looks) {
    const std::uint64_t before = progress.looks;
    for (int action = 0; action < 60; ++action) {
      const std::size_t n = random() % 40 == 0 ? random() % 1500 : random() % 60;
      progress.appended += n;
      feed.append(sink, n);
      if (random() % 3 != 0) continue;
      sink.flush();
      progress.flushed = feed.next();
    }
    while (alive && progress.looks == before) {
      std::this_thread::yield();
      alive = ::waitpid(child, &status, WNOHANG) == 0;
    }
  }
  progress.done = 1;
  if (alive) ::waitpid(child, &status, 0);
  CHECK(status == 0);
  CHECK(progress.looks >= looks);
  CHECK((progress.partial > 0) == (compression == 0));
  sink.close({});
  ::munmap(memory, sizeof(Progress));
}
