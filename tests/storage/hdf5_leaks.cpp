// HDF5 itself loses memory when a file operation below it fails, or a file ends too early: that is
// all that is done in the tests this is linked to.

// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5\n"; }  // NOLINT
