/* SPDX-License-Identifier: Apache-2.0 */
/* The names that options choose from, each list taken from where the things are registered.
 *
 * Each call returns "a, b, c", static and the same every time. Safe from any thread. */
#ifndef SGP_RUN_NAMES_H
#define SGP_RUN_NAMES_H

const char *names_algorithms(void); /* sgp_algorithm_t */
const char *names_graphs(void);     /* sgp_graph_kind_t */
const char *names_encodings(void);  /* sgp_encoding_t */
const char *names_transports(void); /* of sgp_group_options_t, and "loopback" */

#endif
