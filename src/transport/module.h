/* SPDX-License-Identifier: Apache-2.0 */
/* Modules: code over a library that libsgp must not link against (MPI, SimGrid) is a shared object of its own,
 * libsgp-NAME.so, loaded on demand. Called by the transports that need one; never unloads and never logs. */
#ifndef SGP_TRANSPORT_MODULE_H
#define SGP_TRANSPORT_MODULE_H

/* Loads libsgp-NAME.so from beside libsgp.so or the program, from the library folder next to the program's, or from its
 * place in a build tree. With global symbols, which plugins of MPI libraries look up. On failure returns NULL, and *why
 * is the loader's error, valid until this thread's next call, or NULL if there is no such file. */
void *sgp_module_open(const char *name, const char **why);

/* Loads a module by its file. */
void *sgp_module_open_file(const char *file, const char **why);

#endif
