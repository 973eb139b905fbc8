#include "h5_column.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "h5_driver.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"

namespace spillway::h5 {

namespace {

// What the pipeline says of itself; how hard the encoder tries is its own affair.
constexpr unsigned deflate_level = 6;

}  // namespace

Id make_growing(hid_t group, const std::string& name, hid_t type, std::size_t chunk_rows,
                const void* fill, bool filters) {
  const Id properties(H5Pcreate(H5P_DATASET_CREATE), name, "properties");
  const hsize_t chunk = chunk_rows;
  H5Pset_chunk(properties, 1, &chunk);
  if (fill) H5Pset_fill_value(properties, type, fill);
  if (filters) {
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, deflate_level);
  }
  const hsize_t none = 0;
  const hsize_t unlimited = H5S_UNLIMITED;
  const Id space(H5Screate_simple(1, &none, &unlimited), name, "space");
  return {H5Dcreate2(group, name.c_str(), type, space, link_properties(), properties, H5P_DEFAULT),
          "dataset " + name, "can't be made"};
}

Column::Column(hid_t group, const std::string& name, hid_t type, std::size_t row_bytes,
               std::size_t chunk_rows, const void* fill, bool filters)
    : dataset_(make_growing(group, name, type, chunk_rows, fill, filters)),
      name_("dataset " + name),
      row_bytes_(row_bytes),
      chunk_rows_(chunk_rows),
      filters_(filters),
      fill_(row_bytes) {
  if (fill) std::memcpy(fill_.data(), fill, row_bytes);
}

void Column::pad(std::size_t rows) {
  for (std::size_t at = rows * row_bytes_; at < buffer_.size(); at += row_bytes_)
    std::memcpy(&buffer_[at], fill_.data(), row_bytes_);
}

void Column::grow(std::uint64_t extent) {
  if (extent <= extent_) return;
  const hsize_t size = extent;
  if (H5Dset_extent(dataset_, &size) < 0) fail(name_, "can't grow");
  extent_ = extent;
}

bool Column::constant(std::size_t rows) const noexcept {
  return std::memcmp(buffer_.data(), buffer_.data() + row_bytes_, (rows - 1) * row_bytes_) == 0;
}

Place Column::write(Output& to, std::uint64_t first_row, std::span<const std::byte> bytes,
                    std::uint32_t mask) {
  const hsize_t offset = first_row;
  if (H5Dwrite_chunk(dataset_, H5P_DEFAULT, mask, &offset, bytes.size(), bytes.data()) < 0)
    fail(name_, "can't be written");
  const std::int64_t address = address_of_last_write(to.file, bytes.data());
  if (address < 0) throw Error(name_ + ": HDF5 did not write the chunk as it was given");
  return {static_cast<std::uint64_t>(address), static_cast<std::uint32_t>(bytes.size()), mask, 0};
}

void Column::write_raw(Output& to, std::size_t rows) {
  pad(rows);
  write_raw(to, rows, buffer_);
}

void Column::write_raw(Output& to, std::size_t rows, std::span<const std::byte> chunk) {
  grow(base_ + rows);
  place_ = write(to, base_, chunk, filters_ ? not_filtered : filtered);
  state_ = State::raw;
}

void Column::write_constant(Output& to, std::size_t rows) {
  // The whole chunk: nothing is left to do if it goes on like this.
  std::vector<std::byte> chunk(buffer_.size());
  std::memcpy(chunk.data(), buffer_.data(), row_bytes_);
  for (std::size_t n = row_bytes_; n < chunk.size(); n *= 2)
    std::memcpy(&chunk[n], chunk.data(), std::min(n, chunk.size() - n));
  const std::span<const std::byte> encoded = to.codec.encode(chunk, row_bytes_);
  if (encoded.empty()) {
    write_raw(to, rows);
    return;
  }
  grow(base_ + rows);
  place_ = write(to, base_, encoded, filtered);
  place_.crc32c = crc32c(encoded);
  state_ = State::constant;
}

void Column::write_rest(Output& to, std::size_t rows) {
  to.direct.write_at(place_.address + shown_ * row_bytes_, this->rows(shown_, rows));
}

void Column::show(Output& to, std::size_t rows) {
  if (rows <= shown_) return;
  if (state_ == State::raw)
    write_rest(to, rows);
  else if (!filters_ || !constant(rows))
    // Elsewhere than a constant one before it, which a reader may be reading.
    write_raw(to, rows);
  else if (state_ == State::held)
    write_constant(to, rows);
  grow(base_ + rows);
  shown_ = rows;
}

bool Column::finish(Output& to, std::size_t rows, Place& place) {
  const bool goes_on = state_ == State::raw || (state_ == State::constant && constant(rows));
  if (!goes_on && filters_) {
    pad(rows);
    replaced_row_ = base_;
    replaced_length_ = state_ == State::constant ? place_.length : 0;
    return false;
  }
  if (state_ == State::held)
    write_raw(to, rows);
  else
    show(to, rows);
  place = place_;
  if (state_ == State::raw) place.crc32c = crc32c(buffer_);
  return true;
}

void Column::finish_whole(Output& to, const std::byte* rows, Place& place) {
  const std::span<const std::byte> chunk(rows, chunk_rows_ * row_bytes_);
  write_raw(to, chunk_rows_, chunk);
  place = place_;
  place.crc32c = crc32c(chunk);
}

void Column::next() noexcept {
  base_ += chunk_rows_;
  state_ = State::held;
  shown_ = 0;
}

Place Column::store(Output& to, const ChunkJob& job) {
  grow(job.first_row + job.rows);
  // Where the lengths are the same, HDF5 would write over what a reader may be reading.
  const bool overwrites = job.first_row == replaced_row_ && job.stored.size() == replaced_length_;
  if (job.mask != not_filtered && !overwrites) {
    Place place = write(to, job.first_row, job.stored, job.mask);
    place.crc32c = job.crc32c;
    return place;
  }
  Place place = write(to, job.first_row, job.raw, not_filtered);
  place.crc32c = crc32c(job.raw);
  return place;
}

Table::Table(hid_t group, const std::string& name, Id type, std::size_t chunk_rows)
    : type_(std::move(type)),
      dataset_(make_growing(group, name, type_, chunk_rows, nullptr, false)),
      name_("dataset " + name) {}

std::size_t Table::write(std::uint64_t at, const void* rows, std::size_t count) {
  if (count == 0) return 0;
  const hsize_t start = at;
  const hsize_t length = count;
  const hsize_t extent = std::max(rows_, at + count);
  if (extent > rows_ && H5Dset_extent(dataset_, &extent) < 0) fail(name_, "can't grow");
  rows_ = extent;
  const Id file_space(H5Dget_space(dataset_), name_, "space");
  const Id memory_space(H5Screate_simple(1, &length, nullptr), name_, "space");
  H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &start, nullptr, &length, nullptr);
  if (H5Dwrite(dataset_, type_, memory_space, file_space, H5P_DEFAULT, rows) < 0)
    fail(name_, "can't be written");
  return count * H5Tget_size(type_);
}

}  // namespace spillway::h5
