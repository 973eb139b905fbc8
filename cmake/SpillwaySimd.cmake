# spillway_simd_kernels(TARGET NAME...): compiles src/simd/NAME.inl of the current folder into
# TARGET once for each instruction set, see src/simd/isa.hpp. The variants differ in their
# namespace, SPILLWAY_ISA, and in the flags.
function(spillway_simd_kernels target)
  set(isas baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(APPEND isas avx2 avx512)
    target_compile_definitions(${target} PRIVATE SPILLWAY_SIMD_X86_64)
  endif()
  set(flags_baseline "")
  set(flags_avx2 -mavx2)
  set(flags_avx512 -mavx512f -mavx512dq -mavx512vl -mprefer-vector-width=512)
  foreach(name IN LISTS ARGN)
    foreach(isa IN LISTS isas)
      set(file ${CMAKE_CURRENT_BINARY_DIR}/simd/${name}_${isa}.cpp)
      file(CONFIGURE OUTPUT ${file} CONTENT
        "#define SPILLWAY_ISA ${isa}\n#include \"${CMAKE_CURRENT_SOURCE_DIR}/src/simd/${name}.inl\"\n")
      # Not -Wpsabi: vectors are passed to always inlined functions only.
      set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${flags_${isa}};-Wno-psabi")
      target_sources(${target} PRIVATE ${file})
    endforeach()
  endforeach()
endfunction()
