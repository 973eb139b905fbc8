// Files of others as recordings; see docs/foreign.md. Private.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "recording_backend.hpp"
#include "spillway/storage/foreign.hpp"

namespace spillway {

// Each takes what it is told by `how` where the file leaves it open, and throws Error that names
// the path, the place in the file, and what is allowed.
std::unique_ptr<RecordingBackend> open_npy(const std::string& path, const Foreign& how,
                                           FileCalls& calls);
std::unique_ptr<RecordingBackend> open_wav(const std::string& path, const Foreign& how,
                                           FileCalls& calls);
// A sidecar, recording.json; see docs/sidecar.md.
std::unique_ptr<RecordingBackend> open_raw(const std::string& path, const Foreign& how,
                                           FileCalls& calls);
std::unique_ptr<RecordingBackend> open_table(const std::string& path, const Foreign& how,
                                             FileCalls& calls);

// Why nothing can be given of a recording made by a sink.
constexpr const char* made_here = "was made by Spillway and says itself how it is to be read";
// Throws NotLeftOpen, with `why` after the path, if anything is given but what is `open`.
void require_left_open(const std::string& path, const Foreign& how,
                       std::initializer_list<NotLeftOpen::Given> open, const char* why);

// In front of some texts in UTF-8.
constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

// Whether a file that begins so is one; `front` has 64 bytes, or all of a shorter file.
[[nodiscard]] bool is_npy(std::string_view front);
[[nodiscard]] bool is_wav(std::string_view front);
[[nodiscard]] bool is_raw(std::string_view front);
[[nodiscard]] bool is_table(std::string_view front);

// Whether the file was not made here, nor has anything beside it that would tell of it.
[[nodiscard]] bool is_of_others(const std::string& path, FileCalls& calls);

// Channels of one type, named and with the unit as `how` says. Throws Error that names `path` if it
// has another number of names, or if there are more than are of use.
[[nodiscard]] std::vector<ChannelInfo> plain_channels(const std::string& path, const Foreign& how,
                                                      std::uint64_t count, SampleType type);
// What stands in a file, for messages: short and without control characters.
[[nodiscard]] std::string shown(std::string_view text);
// The file's name without directory and ending: that of a stream that has no other.
[[nodiscard]] std::string stream_name_of(const std::string& path);

}  // namespace spillway
