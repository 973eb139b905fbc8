# How everything of ours is compiled, and what a room (a top-level folder with a
# library) has in common with the others.

# Warnings are ours alone: nothing of this reaches a project that links us.
add_library(spillway_options INTERFACE)
target_compile_features(spillway_options INTERFACE cxx_std_20)
target_compile_options(spillway_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  # g++ 12 sees impossible overlaps in its own std::string when it inlines (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # The same bits whatever the compiler and the CPU: no fused multiply-add.
  -ffp-contract=off)
if(SPILLWAY_SANITIZE)
  target_compile_options(spillway_options INTERFACE
    -fsanitize=${SPILLWAY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1
    # g++ 12 under sanitizers sees uninitialised members inside its own <regex>.
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(spillway_options INTERFACE -fsanitize=${SPILLWAY_SANITIZE})
endif()

# Gives the library spillway_<room> its own include root, so that an include the
# design forbids does not compile, and exports it as Spillway::<room>.
function(spillway_room room)
  add_library(Spillway::${room} ALIAS spillway_${room})
  set_target_properties(spillway_${room} PROPERTIES EXPORT_NAME ${room})
  target_compile_features(spillway_${room} PUBLIC cxx_std_20)
  target_include_directories(spillway_${room} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(spillway_${room} PRIVATE $<BUILD_INTERFACE:spillway_options>)
  install(TARGETS spillway_${room} EXPORT SpillwayTargets)
  install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endfunction()
