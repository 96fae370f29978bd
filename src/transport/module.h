/* SPDX-License-Identifier: Apache-2.0 */
/* Modules: what needs a library that libsgp itself does not (MPI, SimGrid) is compiled into a shared object of
 * its own, libsgp-NAME.so, and loaded when it is asked for. */
#ifndef SGP_TRANSPORT_MODULE_H
#define SGP_TRANSPORT_MODULE_H

/* Loads libsgp-NAME.so: from beside libsgp.so or the program, from the library folder next to the
 * program's, or from where a build tree has it. Global: parts that the module's libraries load look for
 * their symbols. NULL: there is none, or *why says why it cannot be loaded (NULL: there is none; valid until
 * the next call of this thread). */
void *sgp_module_open(const char *name, const char **why);

/* The same of a file. */
void *sgp_module_open_file(const char *file, const char **why);

#endif
