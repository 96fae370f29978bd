/* SPDX-License-Identifier: Apache-2.0 */
/* Where a process belongs, from options and from what its launcher has put into the environment. */
#ifndef SGP_GROUP_JOIN_PLACEMENT_H
#define SGP_GROUP_JOIN_PLACEMENT_H

#include "group/join/exchange.h"

typedef enum sgp_source {
    SGP_SOURCE_NONE,      /* nobody has said anything: a group of one */
    SGP_SOURCE_DIRECTORY, /* rank, size and a directory, by options or SGP_* */
    SGP_SOURCE_JOIN,      /* HOST:PORT and a size, by options or SGP_* */
    SGP_SOURCE_PMIX,
    SGP_SOURCE_PMI,
    SGP_SOURCE_TORCHRUN,
    SGP_SOURCE_SLURM,
} sgp_source_t;

#define SGP_PLACEMENT_TEXT 300

typedef struct sgp_placement {
    sgp_source_t source;
    int rank; /* -1: not known before the group is there */
    int size; /* 0: the same */
    const char
        *rendezvous; /* of DIRECTORY; points into the options or the environment; may be NULL */
    char at[SGP_PLACEMENT_TEXT]; /* HOST:PORT, for those that meet there */
    int ports;                   /* from PORT on */
    sgp_join_role_t founder;
    uint64_t fingerprint; /* of the launcher's job; 0: none */
} sgp_placement_t;

/* options: as sgp_group_join has them. SGP_ERR_INVALID (logged): what was said makes no sense. */
sgp_status_t sgp_placement_find(const sgp_group_options_t *options, sgp_placement_t *place);

/* "SGP_SIZE", "mpirun", for messages. */
const char *sgp_source_name(sgp_source_t source);

/* The first host of a list as Slurm writes it, "node[03-05,9],other7". false: it does not fit. */
bool sgp_slurm_first_host(const char *list, char *host, size_t room);

#endif
