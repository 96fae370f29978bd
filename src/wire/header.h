/* SPDX-License-Identifier: Apache-2.0 */
/* src/wire turns messages, handshakes and keys into bytes and back: pure functions over bytes
 * for the transports, the join protocol and their tests. It opens no file and no socket, and
 * knows no group.
 *
 * This header: the 128 bytes in front of every chunk of a message, little-endian, versioned, with
 * a checksum. A message is a vector with a weight, cut into chunks that travel, arrive and are
 * absorbed independently. Each chunk carries the whole header, so it is checked without the
 * others.
 *
 *     at  bytes  field                       at  bytes  field
 *      0    4    magic "1SGP"                64    4    elements
 *      4    2    version                     68    4    channel
 *      6    1    kind                        72    8    payload_hash
 *      7    1    encoding                    80    8    view
 *      8    4    src                         88    8    parameters of the codec: 0
 *     12    4    incarnation                 96    4    round of an exchange: 0
 *     16    8    run                        100    4    reserved: 0
 *     24    8    step                       104   16    authentication tag: 0
 *     32    8    id                         120    8    checksum: XXH3 of the bytes before it
 *     40    8    weight
 *     48    8    count
 *     56    8    offset
 *
 * The fields that are 0 have their place, so that their first use does not move the others. A
 * receiver refuses a header in which one of them is not 0: it comes from a program that means
 * something by it. */
#ifndef SGP_WIRE_HEADER_H
#define SGP_WIRE_HEADER_H

#include "base/encoded.h"

#include <sgp/status.h>
#include <stdint.h>

#define SGP_HEADER_BYTES   128
#define SGP_HEADER_VERSION 2

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
    SGP_KIND_VIEW,        /* notices about members; see group/view_message.h */
    SGP_KIND_WAIT, /* a question to a sender: what became of its push of a step; wire/question.h */
    SGP_KIND_PASSED, /* the answer to it */
    SGP_KIND_HEARD, /* a question about a member that is silent, or the answer; see group/verdict.h */
    SGP_KIND_STATE, /* what a newcomer gets from a member before its first step; see mixing/arrival.h */
    SGP_KIND_VERDICT, /* a receiver has decoded a chunk that knows it, or refused blocks; see mixing/verdicts.h */
    SGP_KIND_REPAIR, /* the refused blocks in float32 */
    SGP_KIND_STATUS, /* rows about members, for those who look at the run; see group/status_gossip.h */
    SGP_KIND_LAST = SGP_KIND_STATUS,
} sgp_kind_t;

typedef struct sgp_header {
    sgp_kind_t kind;
    sgp_encoding_t encoding;
    int src;               /* rank of the sender */
    uint32_t incarnation;  /* of the sender: counts the uses of its place in the group, from 0 */
    uint64_t run;          /* run id: messages of other runs are refused */
    uint32_t channel;      /* of one mixer; 0: the group itself */
    uint64_t step;         /* of the algorithm; control messages: a sequence number */
    uint64_t id;           /* counts the sender's messages, from 1 */
    double weight;         /* mass that travels with the vector; finite and > 0 */
    uint64_t count;        /* elements of the whole message */
    uint64_t offset;       /* first element of this chunk */
    uint32_t elements;     /* of this chunk */
    uint64_t payload_hash; /* XXH3 of the payload; 0 in shared memory, where it is not computed */
    uint64_t view;         /* digest of the sender's view of the group; 0: of its founders alone */
} sgp_header_t;

/* Writes the header and its checksum. */
void sgp_header_encode(const sgp_header_t *header, unsigned char bytes[SGP_HEADER_BYTES]);

/* Reads and checks a header. Sets *header only on success. Does not log: *reason (static) is the
 * cause. SGP_ERR_FORMAT: another magic number or version, a wrong checksum, an unknown kind or
 * encoding, a field that has to be 0 and is not, or a chunk outside its message; SGP_ERR_REFUSED: a
 * weight that is not finite or not > 0. Run, rank, incarnation and view are the caller's to judge. */
sgp_status_t sgp_header_decode(const unsigned char bytes[SGP_HEADER_BYTES], sgp_header_t *header,
                               const char **reason);

#endif
