#include "h5_tables.hpp"

#include <algorithm>
#include <cstddef>

#include "spillway/storage/stream_log.hpp"

namespace spillway::h5 {

namespace {

Id absence_type() {
  Id type(H5Tenum_create(H5T_NATIVE_UINT8), "HDF5", "enumeration");
  const auto add = [&](const char* name, Absence value) {
    const auto byte = static_cast<std::uint8_t>(value);
    H5Tenum_insert(type, name, &byte);
  };
  add("missing", Absence::missing);
  add("lost_upstream", Absence::lost_upstream);
  add("lost", Absence::lost);
  add("mixed", Absence::mixed);
  add("not_written", Absence::not_written);
  add("damaged", Absence::damaged);
  return type;
}

template <std::size_t N>
void put_text(std::array<char, N>& field, const std::string& text) {
  // Not in front of a byte that continues a character.
  std::size_t length = std::min(text.size(), N);
  if (length < text.size())
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
  field = {};
  text.copy(field.data(), length);
}

template <std::size_t N>
std::string text_of(const std::array<char, N>& field) {
  return {field.begin(), std::find(field.begin(), field.end(), '\0')};
}

Id text_type(std::size_t length) {
  Id type(H5Tcopy(H5T_C_S1), "HDF5", "text type");
  H5Tset_size(type, length);
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

}  // namespace

EventRow event_row(const RecordedEvent& event) {
  EventRow row{event.time_ns, {}, {}, event.first, event.count, {}};
  put_text(row.kind, event.kind);
  put_text(row.subject, event.subject);
  put_text(row.text, event.text);
  return row;
}

RecordedEvent event_of(const EventRow& row) {
  return {row.time_ns, text_of(row.kind), text_of(row.subject),
          row.first,   row.count,         text_of(row.text)};
}

Id compound(std::size_t size, std::initializer_list<Member> members) {
  Id type(H5Tcreate(H5T_COMPOUND, size), "HDF5", "compound type");
  for (const Member& m : members) H5Tinsert(type, m.name, m.offset, m.type);
  return type;
}

Id segment_type() {
  return compound(sizeof(Segment),
                  {{"first_sample", offsetof(Segment, first_sample), H5T_NATIVE_UINT64},
                   {"row", offsetof(Segment, row), H5T_NATIVE_UINT64},
                   {"count", offsetof(Segment, count), H5T_NATIVE_UINT64},
                   {"t0_ns", offsetof(Segment, t0_ns), H5T_NATIVE_INT64},
                   {"clock_sample", offsetof(Segment, clock_sample), H5T_NATIVE_UINT64},
                   {"clock_ns", offsetof(Segment, clock_ns), H5T_NATIVE_INT64}});
}
Id gap_type() {
  const Id cause = absence_type();
  return compound(sizeof(Gap), {{"first_sample", offsetof(Gap, first_sample), H5T_NATIVE_UINT64},
                                {"count", offsetof(Gap, count), H5T_NATIVE_UINT64},
                                {"lost", offsetof(Gap, lost), H5T_NATIVE_UINT64},
                                {"missing", offsetof(Gap, missing), H5T_NATIVE_UINT64},
                                {"cause", offsetof(Gap, cause), cause}});
}
Id anchor_type() {
  return compound(sizeof(AnchorRow), {{"sample", offsetof(AnchorRow, sample), H5T_NATIVE_UINT64},
                                      {"time_ns", offsetof(AnchorRow, time_ns), H5T_NATIVE_INT64},
                                      {"ticks", offsetof(AnchorRow, ticks), H5T_NATIVE_UINT64}});
}
Id calibration_type() {
  return compound(sizeof(CalibrationRow),
                  {{"from_sample", offsetof(CalibrationRow, from_sample), H5T_NATIVE_UINT64},
                   {"channel", offsetof(CalibrationRow, channel), H5T_NATIVE_UINT32},
                   {"offset", offsetof(CalibrationRow, offset), H5T_NATIVE_UINT64},
                   {"length", offsetof(CalibrationRow, length), H5T_NATIVE_UINT32}});
}
Id counts_type() {
  return compound(sizeof(RecordedCounts),
                  {{"produced", offsetof(RecordedCounts, produced), H5T_NATIVE_UINT64},
                   {"recorded", offsetof(RecordedCounts, recorded), H5T_NATIVE_UINT64},
                   {"lost", offsetof(RecordedCounts, lost), H5T_NATIVE_UINT64},
                   {"missing", offsetof(RecordedCounts, missing), H5T_NATIVE_UINT64}});
}
Id event_type() {
  const Id kind = text_type(sizeof(EventRow::kind));
  const Id subject = text_type(sizeof(EventRow::subject));
  const Id text = text_type(sizeof(EventRow::text));
  return compound(sizeof(EventRow), {{"time_ns", offsetof(EventRow, time_ns), H5T_NATIVE_INT64},
                                     {"kind", offsetof(EventRow, kind), kind},
                                     {"subject", offsetof(EventRow, subject), subject},
                                     {"first", offsetof(EventRow, first), H5T_NATIVE_UINT64},
                                     {"count", offsetof(EventRow, count), H5T_NATIVE_UINT64},
                                     {"text", offsetof(EventRow, text), text}});
}

}  // namespace spillway::h5
