// The HDF5 C API, made safe to use: handles that close themselves, errors that
// are exceptions and say what the library said, one thread at a time. Private.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace spillway::h5 {

// Held by whoever calls the library: the common builds of HDF5 are not thread-safe.
// Silences the library's own printing of errors while it is held.
class Library {
 public:
  Library();
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  std::unique_lock<std::recursive_mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_data_ = nullptr;
};

// Throws Error: `where`, `what`, and the library's own innermost words.
[[noreturn]] void fail(const std::string& where, const std::string& what);

// Owns an identifier and closes it by its kind.
class Id {
 public:
  Id() = default;
  // Throws like fail() if `id` is negative.
  Id(hid_t id, const std::string& where, const std::string& what) : id_(id) {
    if (id < 0) fail(where, what);
  }
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Id& operator=(Id&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Id() { close(); }
  operator hid_t() const noexcept { return id_; }  // NOLINT(google-explicit-constructor)
  // Not negative on success, and for an Id that is closed.
  herr_t close() noexcept;

 private:
  hid_t id_ = -1;
};

// For new groups and datasets: their names are UTF-8.
hid_t link_properties();

// Text attributes and text datasets have fixed lengths: what every reader understands,
// and what SWMR allows.
void put_attribute(hid_t object, const std::string& name, const std::string& text);
void put_attribute(hid_t object, const std::string& name, const std::vector<std::string>& texts);
void put_attribute(hid_t object, const std::string& name, double value);
void put_attribute(hid_t object, const std::string& name, const std::vector<std::uint8_t>& values);
Id put_text(hid_t group, const std::string& name, const std::string& text, std::size_t room);
// Overwrites the text, in place; cut at the room it was made with.
void change_text(hid_t dataset, const std::string& text);
// Bytes of any meaning, as uint8.
void put_bytes(hid_t group, const std::string& name, const std::string& bytes);
std::string get_text(hid_t group, const std::string& name, const std::string& where);

// The file and the memory type of a number.
hid_t native_type(int sample_type) noexcept;

}  // namespace spillway::h5
