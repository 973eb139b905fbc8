// Writes that fail below HDF5 and are made later.
#include <cerrno>
#include <numeric>
#include <vector>

#include "calls_of_a_test.hpp"
#include "h5.hpp"
#include "h5_driver.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {

using h5::Id;
using test::TemporaryDirectory;

TEST_CASE("writes that fail are kept, and what HDF5 goes on to do is right once they are made") {
  const auto fails_at = static_cast<std::uint64_t>(GENERATE(range(0, 40, 3)));
  CAPTURE(fails_at);
  const h5::Library library;
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  test::CallsOfATest calls;
  const Id access(H5Pcreate(H5P_FILE_ACCESS), "test", "access");
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  h5::set_driver(access, calls);
  Id file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), "test", "create");
  h5::keep_failed_writes(file);
  const hsize_t chunk = 64;
  const hsize_t none = 0;
  const hsize_t unlimited = H5S_UNLIMITED;
  const Id space(H5Screate_simple(1, &none, &unlimited), "test", "space");
  const Id create(H5Pcreate(H5P_DATASET_CREATE), "test", "create");
  H5Pset_chunk(create, 1, &chunk);
  Id dataset(H5Dcreate2(file, "x", H5T_NATIVE_INT, space, H5P_DEFAULT, create, H5P_DEFAULT), "test",
             "dataset");
  std::vector<int> rows(64 * 20);
  std::iota(rows.begin(), rows.end(), 1);
  const std::uint64_t begin = calls.writes;
  std::uint64_t errors = 0;
  for (hsize_t at = 0; at < rows.size(); at += chunk) {
    if (calls.writes - begin >= fails_at) calls.write_error = ENOSPC;
    const hsize_t extent = at + chunk;
    REQUIRE(H5Dset_extent(dataset, &extent) >= 0);
    REQUIRE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &at, chunk * sizeof(int), &rows[at]) >= 0);
    REQUIRE(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0);
    errors += h5::take_error(file) == ENOSPC;
  }
  CHECK(errors > 0);
  CHECK(h5::write_kept(file) == ENOSPC);
  // The library reads what is not in the file yet.
  std::vector<int> read(rows.size());
  dataset.close();
  dataset = Id(H5Dopen2(file, "x", H5P_DEFAULT), "test", "dataset");
  REQUIRE(H5Dread(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data()) >= 0);
  CHECK(read == rows);
  calls.write_error = 0;
  CHECK(h5::write_kept(file) == 0);
  CHECK(h5::take_error(file) == 0);
  REQUIRE(dataset.close() >= 0);
  REQUIRE(file.close() >= 0);
  std::fill(read.begin(), read.end(), 0);
  const Id again(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "test", "open");
  const Id there(H5Dopen2(again, "x", H5P_DEFAULT), "test", "dataset");
  REQUIRE(H5Dread(there, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data()) >= 0);
  CHECK(read == rows);
}

TEST_CASE("an error that nobody asked for is none any more once what was kept is written") {
  const h5::Library library;
  TemporaryDirectory directory;
  test::CallsOfATest calls;
  const Id access(H5Pcreate(H5P_FILE_ACCESS), "test", "access");
  h5::set_driver(access, calls);
  Id file(H5Fcreate((directory / "a.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), "test",
          "create");
  h5::keep_failed_writes(file);
  const auto make_group = [&](const char* name) {
    const Id made(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), "test", name);
    REQUIRE(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0);
  };
  calls.write_error = EDQUOT;
  make_group("first");
  // Not asked: what struck next was not a write of HDF5, and was told instead.
  calls.write_error = 0;
  REQUIRE(h5::write_kept(file) == 0);
  make_group("second");
  CHECK(h5::take_error(file) == 0);
  REQUIRE(file.close() >= 0);
}

}  // namespace spillway
