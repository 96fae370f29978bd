# Debian packages, by cpack: sgp (the program), libsgp1 (the library and its modules), libsgp-dev. For the preset
# "package", whose prefix /usr gives Debian's folders.
set(SGP_PACKAGE_MAINTAINER "sgp developers <developers@sgp.invalid>" CACHE STRING
  "Maintainer of the Debian packages: name and address of their distributor")
set(library_package libsgp${PROJECT_VERSION_MAJOR})

# In Debian's place for it; only packages have it.
install(FILES cmake/debian-copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${library_package} RENAME copyright
  COMPONENT library EXCLUDE_FROM_ALL)
install(FILES cmake/debian-copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libsgp-dev RENAME copyright
  COMPONENT development EXCLUDE_FROM_ALL)
if(TARGET sgp)
  install(FILES cmake/debian-copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/sgp RENAME copyright
    COMPONENT program EXCLUDE_FROM_ALL)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sgp)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_PACKAGE_CONTACT "${SGP_PACKAGE_MAINTAINER}")
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON) # the prefix is then the final one, which decides about the rpath in sgp.pc
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL library development)
if(TARGET sgp)
  list(APPEND CPACK_COMPONENTS_ALL program)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)

# The program finds the modules of the transports beside libsgp. The data set and gnuplot serve the first run of the guide.
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME sgp)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS "dataset-fashion-mnist, gnuplot-nox | gnuplot")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SUGGESTS "libpmix2")
set(CPACK_COMPONENT_PROGRAM_DEPENDS library)
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "train neural networks by Stochastic Gradient Push
In each step every node pushes its parameters to one or two others, and
PushSum keeps the average unbiased: no node waits for all others. For slow,
busy or unreliable networks, and for studying how such averaging behaves.
.
This package has the program sgp: it trains, compares algorithms, draws
graphs of communication and simulates clusters.")

# Its dependencies, and the libraries that it recommends and suggests, come from SgpPackageDepends.cmake.
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${library_package})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/SgpPackageDepends.cmake)
file(WRITE ${PROJECT_BINARY_DIR}/package/triggers "activate-noawait ldconfig\n")
file(WRITE ${PROJECT_BINARY_DIR}/package/shlibs "libsgp ${PROJECT_VERSION_MAJOR} ${library_package} (>= ${PROJECT_VERSION})\n")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA
  ${PROJECT_BINARY_DIR}/package/triggers ${PROJECT_BINARY_DIR}/package/shlibs)
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "Stochastic Gradient Push, shared library
PushSum averaging of parameter vectors between nodes, over shared memory, TCP
or MPI, for programs with a training loop of their own.
.
This package has the library and its modules for MPI, for SimGrid and for the
status page, which are loaded when they are needed.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libsgp-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libxxhash-dev, libuv1-dev, libsodium-dev, libssl-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS "pkgconf | pkg-config")
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS library)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "Stochastic Gradient Push, development files
PushSum averaging of parameter vectors between nodes, over shared memory, TCP
or MPI, for programs with a training loop of their own.
.
This package has the headers, the static library, and the files by which
pkg-config and CMake find them.")
include(CPack)
