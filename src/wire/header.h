/* SPDX-License-Identifier: Apache-2.0 */
/* What travels in front of every chunk of a message: 96 bytes, little-endian, versioned, with a
 * checksum.
 *
 * A message is a vector with a weight, cut into chunks that travel, arrive and are absorbed on
 * their own. Every chunk carries the whole header, so that it can be judged without the others.
 * Pure functions over bytes. */
#ifndef SGP_WIRE_HEADER_H
#define SGP_WIRE_HEADER_H

#include <sgp/encoding.h>
#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_HEADER_BYTES   96
#define SGP_HEADER_VERSION 1

typedef enum sgp_kind {
    SGP_KIND_CONTROL = 1, /* bytes for the group itself: barrier, gather */
    SGP_KIND_PUSH,        /* (z, weight) of PushSum */
    SGP_KIND_REDUCE,      /* a segment to be summed by its owner */
    SGP_KIND_GATHER,      /* a summed segment, from its owner to all */
    SGP_KIND_ASK,         /* of an active node to a passive one: its vector, to be averaged */
    SGP_KIND_ANSWER,      /* what the active node has to add */
    SGP_KIND_REST,        /* the sender makes no step until all nodes have met */
    SGP_KIND_NOTICE,      /* bytes for the group that nobody waits for; see group/notice.h */
    SGP_KIND_LAST = SGP_KIND_NOTICE,
} sgp_kind_t;

/* The numbers of sgp_encoding_t travel as they are, and in place of the default stand bytes that are
 * no vector. A receiver that does not know an encoding refuses the message. */
#define SGP_ENCODING_BYTES ((sgp_encoding_t)0)
#define SGP_ENCODING_LAST  SGP_ENCODING_FLOAT16

typedef struct sgp_header {
    sgp_kind_t kind;
    sgp_encoding_t encoding;
    int src;               /* rank of the sender */
    uint32_t incarnation;  /* how often the sender has joined this run before */
    uint64_t run;          /* run id: messages of other runs are refused */
    uint32_t channel;      /* which mixer of the group; 0: the group itself */
    uint64_t step;         /* of the algorithm; for control messages a sequence number */
    uint64_t id;           /* counts the sender's messages, from 1 */
    double weight;         /* mass that travels with the vector; finite and > 0 */
    uint64_t count;        /* elements of the whole message */
    uint64_t offset;       /* first element of this chunk */
    uint32_t elements;     /* of this chunk */
    uint64_t payload_hash; /* XXH3 of the payload; 0: not computed (memory that both sides share) */
} sgp_header_t;

/* Bytes of one element in an encoding. */
size_t sgp_encoding_size(sgp_encoding_t encoding);

/* Writes the header and its checksum. */
void sgp_header_encode(const sgp_header_t *header, unsigned char bytes[SGP_HEADER_BYTES]);

/* Reads and judges a header: *header is set only on success. Does not log: *reason (static) says
 * what is wrong. SGP_ERR_FORMAT: magic, version, checksum, kind or encoding unknown, chunk outside
 * its message; SGP_ERR_REFUSED: weight not finite or not > 0. */
sgp_status_t sgp_header_decode(const unsigned char bytes[SGP_HEADER_BYTES], sgp_header_t *header,
                               const char **reason);

#endif
