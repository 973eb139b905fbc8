# What find_package(Spillway) needs from an installed tree.
include(CMakePackageConfigHelpers)

install(EXPORT SpillwayTargets NAMESPACE Spillway::
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Spillway)
configure_package_config_file(cmake/SpillwayConfig.cmake.in SpillwayConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Spillway)
write_basic_package_version_file(SpillwayConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/SpillwayConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/SpillwayConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Spillway)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
