/* SPDX-License-Identifier: Apache-2.0 */
/* The library's version, and how its interface grows.
 *
 * A struct that a caller fills in or receives may get new fields at its end. Its size travels with each call: functions
 * named sgp_..._sized are what the library exports, and the inline function without that suffix passes sizeof. So a
 * program runs with every library of the same major version: fields that an older program does not know have their
 * default, zero, and an older library refuses (SGP_ERR_INVALID) only an option that it does not know and that is set.
 * Programs in other languages call the sized functions. sgp_graph_t, sgp_edge_t and sgp_range_t never change. */
#ifndef SGP_VERSION_H
#define SGP_VERSION_H

#include <sgp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "1.2.3" of the library that is loaded; static. */
SGP_API const char *sgp_version(void);

#ifdef __cplusplus
}
#endif
#endif
