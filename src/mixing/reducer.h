/* SPDX-License-Identifier: Apache-2.0 */
/* The ranks that reduce together, the segment of the vector that each of them owns, and their memory. For reduce.h and its
 * callers; sends nothing. */
#ifndef SGP_MIXING_REDUCER_H
#define SGP_MIXING_REDUCER_H

#include "group/group_internal.h"

/* Elements [begin, end) of the vector. */
typedef struct sgp_segment {
    size_t begin, end;
} sgp_segment_t;

/* The segment of a vector of `length` elements that rank `rank` of `size` owns. Segments begin at multiples of 16 elements,
 * a cache line; with more ranks than lines some are empty. */
sgp_segment_t sgp_segment_of(size_t length, int rank, int size);

/* The ranks that reduce together, and their memory. */
typedef struct sgp_reducer {
    sgp_group_t *group;
    sgp_inbox_t *inbox;
    sgp_transport_t *transport;
    int rank, size;
    size_t length; /* of the vector */
    int *place;    /* (size) of each rank among those that take part, or -1; NULL: all do */
    uint32_t *incarnations; /* (size) of the members that do; NULL: they do not change */
    bool
        changed; /* others than before take part, since the graph was last formed over those that do */
    int takes_part;              /* so many do */
    sgp_destination_t *owners;   /* (size) of the parts of it, by distance from rank */
    sgp_destination_t *everyone; /* (others) that take part, without this one */
    int others;
    sgp_send_t *sends; /* (size) the parts under way, by distance from rank */
    float *scratch;    /* (elements of a chunk) this rank's part; a decoded mean */
    float *mean;       /* (elements of a chunk) */
    double *sums;      /* (elements of a chunk) */
} sgp_reducer_t;

/* group: borrowed. SGP_ERR_NO_MEMORY, logged. fini accepts a failed init and all zeros. */
sgp_status_t sgp_reducer_init(sgp_reducer_t *reducer, sgp_group_t *group, size_t length);
void sgp_reducer_fini(sgp_reducer_t *reducer);

/* From the next call on only these ranks reduce, this one among them: the same on all of them. A call that one of them
 * does not survive ends with SGP_ERR_PEER_LOST, not logged, as soon as that is known; nothing of it is left here.
 * there: (size). For groups that are elastic. */
void sgp_reducer_take_part(sgp_reducer_t *reducer, const bool *there);

/* Whether that rank does; its segment, which is empty if it does not. */
bool sgp_reducer_has(const sgp_reducer_t *reducer, int rank);
sgp_segment_t sgp_reducer_segment(const sgp_reducer_t *reducer, int rank);

/* Whether it is the present member of that seat that does. */
bool sgp_reducer_has_member(const sgp_reducer_t *reducer, int rank);

/* Whether a call cannot succeed any more, as a rank that takes part is gone. One atomic load where none is. */
bool sgp_reducer_is_broken(const sgp_reducer_t *reducer);

#endif
