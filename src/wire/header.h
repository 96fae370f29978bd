/* SPDX-License-Identifier: Apache-2.0 */
/* src/wire turns messages, handshakes and keys into bytes and back: pure functions over bytes
 * for the transports, the join protocol and their tests. It opens no file and no socket, and
 * knows no group.
 *
 * This header: the 96 bytes in front of every chunk of a message, little-endian, versioned, with
 * a checksum. A message is a vector with a weight, cut into chunks that travel, arrive and are
 * absorbed independently. Each chunk carries the whole header, so it is checked without the
 * others. */
#ifndef SGP_WIRE_HEADER_H
#define SGP_WIRE_HEADER_H

#include <sgp/encoding.h>
#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_HEADER_BYTES   96
#define SGP_HEADER_VERSION 1

typedef enum sgp_kind {
    SGP_KIND_CONTROL = 1, /* bytes of a collective call: barrier, gather, broadcast */
    SGP_KIND_PUSH,        /* (z, weight) of PushSum */
    SGP_KIND_REDUCE,      /* a segment, to be summed by its owner */
    SGP_KIND_GATHER,      /* a summed segment, from its owner to all */
    SGP_KIND_ASK,         /* from an active node to a passive one: its vector, to be averaged */
    SGP_KIND_ANSWER,      /* the difference that the active node adds */
    SGP_KIND_REST,        /* the sender takes no step until the next epoch end */
    SGP_KIND_NOTICE,      /* bytes for the group outside collective calls; see group/notice.h */
    SGP_KIND_AGREE,       /* bytes of a collective call among survivors; see group/agree.h */
    SGP_KIND_LAST = SGP_KIND_AGREE,
} sgp_kind_t;

/* The values of sgp_encoding_t travel as they are; 0, its default, marks bytes that are no vector.
 * A receiver refuses a message of an unknown encoding. */
#define SGP_ENCODING_BYTES ((sgp_encoding_t)0)
#define SGP_ENCODING_LAST  SGP_ENCODING_FLOAT16

typedef struct sgp_header {
    sgp_kind_t kind;
    sgp_encoding_t encoding;
    int src;               /* rank of the sender */
    uint64_t run;          /* run id: messages of other runs are refused */
    uint32_t channel;      /* of one mixer; 0: the group itself */
    uint64_t step;         /* of the algorithm; control messages: a sequence number */
    uint64_t id;           /* counts the sender's messages, from 1 */
    double weight;         /* mass that travels with the vector; finite and > 0 */
    uint64_t count;        /* elements of the whole message */
    uint64_t offset;       /* first element of this chunk */
    uint32_t elements;     /* of this chunk */
    uint64_t payload_hash; /* XXH3 of the payload; 0 in shared memory, where it is not computed */
} sgp_header_t;

/* Bytes of one element in an encoding. */
size_t sgp_encoding_size(sgp_encoding_t encoding);

/* Writes the header and its checksum. */
void sgp_header_encode(const sgp_header_t *header, unsigned char bytes[SGP_HEADER_BYTES]);

/* Reads and checks a header. Sets *header only on success. Does not log: *reason (static) is the
 * cause. SGP_ERR_FORMAT: another magic number or version, a wrong checksum, an unknown kind or
 * encoding, or a chunk outside its message; SGP_ERR_REFUSED: a weight that is not finite or not >
 * 0. */
sgp_status_t sgp_header_decode(const unsigned char bytes[SGP_HEADER_BYTES], sgp_header_t *header,
                               const char **reason);

#endif
