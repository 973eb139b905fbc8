# Installs the build tree `build` to a prefix below `work`, builds the project `consumer` against
# it and runs its programs. Run by ctest.

# What must not come from whoever runs this.
foreach(variable CFLAGS CXXFLAGS LDFLAGS DESTDIR CMAKE_PREFIX_PATH)
  unset(ENV{${variable}})
endforeach()
file(REMOVE_RECURSE ${work})

# Runs a command; its output ends up in `output`, and is shown if it fails.
macro(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    string(JOIN " " command ${ARGV})
    message(FATAL_ERROR "failed (${result}): ${command}\n${output}")
  endif()
endmacro()

run(${CMAKE_COMMAND} --install ${build} --prefix ${work}/prefix --config ${configuration})
run(${CMAKE_COMMAND} -S ${consumer} -B ${work}/build -G ${generator}
  -DCMAKE_PREFIX_PATH=${work}/prefix
  -DCMAKE_BUILD_TYPE=${configuration}
  -DCMAKE_CXX_COMPILER=${cxx_compiler}
  -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)

# The package that was found is the one just installed.
file(STRINGS ${work}/build/CMakeCache.txt found REGEX "^Spillway_DIR:")
string(FIND "${found}" "=${work}/prefix/" at)
if(at EQUAL -1)
  message(FATAL_ERROR "found another Spillway: ${found}")
endif()

# Our warnings are ours: the consumer asks for none, so its compiler gets none.
file(READ ${work}/build/compile_commands.json commands)
if(commands MATCHES " (-W[^ ]*)")
  message(FATAL_ERROR "the consumer is compiled with ${CMAKE_MATCH_1}")
endif()
# And nothing of this source tree is needed.
get_filename_component(source ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
foreach(room channels filters storage engine)
  string(FIND "${commands}" "${source}/${room}/include" at)
  if(NOT at EQUAL -1)
    message(FATAL_ERROR "the consumer includes from ${source}/${room}/include")
  endif()
endforeach()

run(${CMAKE_COMMAND} --build ${work}/build --config ${configuration})
run(${work}/build/channels_alone)
message("channels_alone: ${output}")
run(${work}/build/whole_engine)
message("whole_engine: ${output}")

# Who only wants the ring gets only the ring.
run(ldd ${work}/build/channels_alone)
if(output MATCHES "hdf5|yaml")
  message(FATAL_ERROR "channels_alone links more than it uses:\n${output}")
endif()
