#include "h5_column.hpp"

#include <algorithm>

namespace spillway::h5 {

Id make_growing(hid_t group, const std::string& name, hid_t type, std::size_t chunk_rows,
                const void* fill) {
  const Id properties(H5Pcreate(H5P_DATASET_CREATE), name, "properties");
  const hsize_t chunk = chunk_rows;
  H5Pset_chunk(properties, 1, &chunk);
  if (fill) H5Pset_fill_value(properties, type, fill);
  const hsize_t none = 0;
  const hsize_t unlimited = H5S_UNLIMITED;
  const Id space(H5Screate_simple(1, &none, &unlimited), name, "space");
  return {H5Dcreate2(group, name.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT),
          "dataset " + name, "can't be made"};
}

void write_rows(hid_t dataset, hid_t type, std::uint64_t at, const void* rows, std::size_t count,
                const std::string& name) {
  const hsize_t start = at;
  const hsize_t length = count;
  const Id file_space(H5Dget_space(dataset), name, "space");
  const Id memory_space(H5Screate_simple(1, &length, nullptr), name, "space");
  H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, nullptr, &length, nullptr);
  if (H5Dwrite(dataset, type, memory_space, file_space, H5P_DEFAULT, rows) < 0)
    fail(name, "can't be written");
}

Column::Column(hid_t group, const std::string& name, hid_t type, std::size_t row_bytes,
               std::size_t chunk_rows, const void* fill)
    : dataset_(make_growing(group, name, type, chunk_rows, fill)),
      type_(H5Tcopy(type), name, "type"),
      name_("dataset " + name),
      row_bytes_(row_bytes),
      chunk_rows_(chunk_rows),
      buffer_(row_bytes * chunk_rows) {}

std::size_t Column::added(std::size_t rows) {
  filled_ += rows;
  if (filled_ < chunk_rows_) return 0;
  const hsize_t extent = base_ + chunk_rows_;
  const hsize_t offset = base_;
  if (H5Dset_extent(dataset_, &extent) < 0 ||
      H5Dwrite_chunk(dataset_, H5P_DEFAULT, 0, &offset, buffer_.size(), buffer_.data()) < 0)
    fail(name_, "can't be written");
  base_ = extent;
  filled_ = flushed_ = 0;
  return buffer_.size();
}

std::size_t Column::append(const void* rows, std::size_t count) {
  std::size_t written = 0;
  const auto* from = static_cast<const std::byte*>(rows);
  while (count > 0) {
    std::size_t room = 0;
    std::byte* to = reserve(room);
    const std::size_t n = std::min(room, count);
    std::memcpy(to, from, n * row_bytes_);
    from += n * row_bytes_;
    count -= n;
    written += added(n);
  }
  return written;
}

std::size_t Column::flush() {
  if (filled_ == flushed_) return 0;
  const hsize_t extent = base_ + filled_;
  const std::uint64_t start = base_ + flushed_;
  const std::size_t count = filled_ - flushed_;
  if (H5Dset_extent(dataset_, &extent) < 0) fail(name_, "can't grow");
  write_rows(dataset_, type_, start, buffer_.data() + flushed_ * row_bytes_, count, name_);
  flushed_ = filled_;
  return count * row_bytes_;
}

Table::Table(hid_t group, const std::string& name, Id type, std::size_t chunk_rows)
    : type_(std::move(type)),
      dataset_(make_growing(group, name, type_, chunk_rows, nullptr)),
      name_("dataset " + name) {}

std::size_t Table::write(std::uint64_t at, const void* rows, std::size_t count) {
  if (count == 0) return 0;
  if (at + count > rows_) {
    const hsize_t extent = at + count;
    if (H5Dset_extent(dataset_, &extent) < 0) fail(name_, "can't grow");
    rows_ = extent;
  }
  write_rows(dataset_, type_, at, rows, count, name_);
  return count * H5Tget_size(type_);
}

}  // namespace spillway::h5
