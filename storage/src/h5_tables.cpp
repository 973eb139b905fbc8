#include "h5_tables.hpp"

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
  return type;
}

}  // namespace

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

}  // namespace spillway::h5
