#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "../interrupt.hpp"
#include "spillway/channels/error.hpp"
#include "storage_contestant.hpp"

namespace spillway::bench {

namespace {

// Closes what it holds.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t), const std::string& what) : id_(id), close_(close) {
    if (id < 0) throw Error(fmt::format("{}: HDF5 fails", what));
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const noexcept { return id_; }  // NOLINT(google-explicit-constructor)

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

void check_hdf5(herr_t status, const std::string& what) {
  if (status < 0) throw Error(fmt::format("{}: HDF5 fails", what));
}

// Rows wait until a chunk of them is whole, so that it is filtered once.
class Column {
 public:
  Column(hid_t file, const std::string& name)
      : name_(name), dataset_(make(file, name), H5Dclose, name) {
    rows_.reserve(storage_chunk_rows);
  }

  void append(std::span<const float> values) {
    rows_.insert(rows_.end(), values.begin(), values.end());
    if (rows_.size() == storage_chunk_rows) write();
  }
  void write() {
    if (rows_.empty()) return;
    const hsize_t count = rows_.size();
    const hsize_t extent = written_ + count;
    check_hdf5(H5Dset_extent(dataset_, &extent), name_);
    const Handle to(H5Dget_space(dataset_), H5Sclose, name_);
    const Handle from(H5Screate_simple(1, &count, nullptr), H5Sclose, name_);
    check_hdf5(H5Sselect_hyperslab(to, H5S_SELECT_SET, &written_, nullptr, &count, nullptr), name_);
    check_hdf5(H5Dwrite(dataset_, H5T_NATIVE_FLOAT, from, to, H5P_DEFAULT, rows_.data()), name_);
    written_ = extent;
    rows_.clear();
  }

 private:
  static hid_t make(hid_t file, const std::string& name) {
    const Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, name);
    const hsize_t chunk = storage_chunk_rows;
    H5Pset_chunk(properties, 1, &chunk);
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 1);
    const hsize_t none = 0;
    const hsize_t unlimited = H5S_UNLIMITED;
    const Handle space(H5Screate_simple(1, &none, &unlimited), H5Sclose, name);
    return H5Dcreate2(file, name.c_str(), H5T_NATIVE_FLOAT, space, H5P_DEFAULT, properties,
                      H5P_DEFAULT);
  }

  std::string name_;
  Handle dataset_;
  std::vector<float> rows_;
  hsize_t written_ = 0;
};
static_assert(storage_chunk_rows % storage_frames == 0);

void write_through_filters(const std::string& path, const StorageSamples& samples,
                           std::uint64_t blocks) {
  {
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path);
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    const Handle file(H5Fcreate(path.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access), H5Fclose, path);
    std::vector<Column> columns;
    for (const ChannelInfo& channel : samples.info().channels)
      columns.emplace_back(file, channel.name);
    for (std::uint64_t b = 0; b < blocks; ++b) {
      check_interrupted();
      for (std::size_t c = 0; c < columns.size(); ++c)
        columns[c].append(samples.block(b).values<float>(c));
    }
    for (Column& column : columns) column.write();
  }
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Error(fmt::format("{}: {}", path, std::strerror(errno)));
  sync_and_close(fd, path);
}

}  // namespace

std::uint64_t wrong_in_hdf5(const std::string& path, const std::string& group,
                            const StorageSamples& samples, std::uint64_t blocks) {
  const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, path);
  std::uint64_t wrong = 0;
  std::vector<float> rows(storage_chunk_rows);
  const hsize_t all = blocks * storage_frames;
  for (std::size_t c = 0; c < storage_channels; ++c) {
    const std::string name = group + "/" + samples.info().channels[c].name;
    const Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose, name);
    const Handle from(H5Dget_space(dataset), H5Sclose, name);
    hsize_t extent = 0;
    H5Sget_simple_extent_dims(from, &extent, nullptr);
    wrong += extent > all ? extent - all : all - extent;
    extent = std::min(extent, all);
    for (hsize_t row = 0; row < extent;) {
      const hsize_t count = std::min<hsize_t>(rows.size(), extent - row);
      const Handle to(H5Screate_simple(1, &count, nullptr), H5Sclose, name);
      check_hdf5(H5Sselect_hyperslab(from, H5S_SELECT_SET, &row, nullptr, &count, nullptr), name);
      check_hdf5(H5Dread(dataset, H5T_NATIVE_FLOAT, to, from, H5P_DEFAULT, rows.data()), name);
      for (hsize_t i = 0; i < count; ++i, ++row)
        if (rows[i] != samples.block(row / storage_frames).values<float>(c)[row % storage_frames])
          ++wrong;
    }
  }
  return wrong;
}

StorageContestants hdf5_pipeline(const StorageSamples& samples) {
  return {{.name = pipeline,
           .run =
               [&samples](const std::string& directory, std::uint64_t blocks) {
                 return taken_by(
                     [&] { write_through_filters(directory + "/run.h5", samples, blocks); });
               },
           .wrong =
               [&samples](const std::string& directory, std::uint64_t blocks) {
                 return wrong_in_hdf5(directory + "/run.h5", "", samples, blocks);
               }}};
}

}  // namespace spillway::bench
