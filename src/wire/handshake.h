/* SPDX-License-Identifier: Apache-2.0 */
/* How two processes that have just connected find out whether they belong together.
 *
 * Each shows a hello (who it is, of which run, which version of the program) with a fresh random
 * nonce, and, where there is a key, proves that it knows it: a MAC over both hellos and its role. So
 * nothing that was recorded can be played back, not even to its own sender. Then each judges the
 * other's hello and says its verdict, with a reason that the other one logs. Who calls without the
 * key gets a hello and a proof, of which nothing can be made but guesses at the key: so keys are random
 * bytes, not words. Who does not even say hello gets nothing.
 *
 *     caller                          answerer
 *     hello                    ->
 *                              <-     hello, proof
 *     proof, verdict           ->
 *                              <-     verdict
 *
 * A state machine over bytes: it knows no socket, never blocks, allocates nothing. Not thread-safe. */
#ifndef SGP_WIRE_HANDSHAKE_H
#define SGP_WIRE_HANDSHAKE_H

#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_HANDSHAKE_VERSION 1
#define SGP_HELLO_BYTES       128
#define SGP_PROOF_BYTES       32
#define SGP_VERDICT_BYTES     192 /* all 0: accepted; 1: refused, then a reason, then 0 */
#define SGP_NONCE_BYTES       32

typedef enum sgp_purpose {
    SGP_PURPOSE_JOIN = 1, /* the caller wants to become a member */
    SGP_PURPOSE_LINK,     /* the caller is a member and opens an edge to the answerer */
    SGP_PURPOSE_LAST = SGP_PURPOSE_LINK,
} sgp_purpose_t;

typedef struct sgp_hello {
    sgp_purpose_t purpose; /* the answerer repeats the caller's */
    int rank;              /* -1: not known yet */
    int size;              /* processes of the group; 0: not known yet */
    uint64_t run;          /* 0: not known yet */
    uint64_t fingerprint;  /* of whatever else both have to have in common (chunk size, group) */
    char version[24];      /* of the program, "0.1.0"; ends with 0 */
} sgp_hello_t;

typedef enum sgp_handshake_state {
    SGP_HANDSHAKE_RUNNING, /* wants bytes, or has some to be sent */
    SGP_HANDSHAKE_JUDGE,   /* `theirs` is there and proven: say accept or refuse */
    SGP_HANDSHAKE_DONE,    /* both have accepted: send what is left to be sent, then begin */
    SGP_HANDSHAKE_REFUSED, /* by us or by them: `reason`; send what is left to be sent, then close */
} sgp_handshake_state_t;

/* Embedded; all but theirs and reason are private. */
typedef struct sgp_handshake {
    bool caller;
    bool keyed;
    sgp_key_t key;
    sgp_handshake_state_t state;
    sgp_hello_t theirs;             /* valid from JUDGE on */
    char reason[SGP_VERDICT_BYTES]; /* valid in REFUSED; printable, ends with 0 */
    bool refused_by_them;
    int stage;
    size_t in_have, in_want, out_at, out_end;
    unsigned char hello[2][SGP_HELLO_BYTES]; /* the caller's, the answerer's */
    unsigned char in[SGP_HELLO_BYTES + SGP_PROOF_BYTES + SGP_VERDICT_BYTES];
    unsigned char out[SGP_HELLO_BYTES + SGP_PROOF_BYTES + SGP_VERDICT_BYTES];
} sgp_handshake_t;

/* mine: copied; an answerer's purpose is ignored. key: copied; NULL: there is none, and a side that
 * has one refuses the side that has none, with a reason that says so. */
void sgp_handshake_init(sgp_handshake_t *handshake, bool caller, const sgp_hello_t *mine,
                        const sgp_key_t *key);

static inline sgp_handshake_state_t sgp_handshake_state(const sgp_handshake_t *handshake) {
    return handshake->state;
}

/* Where received bytes go, and how many are wanted (0: none now): never read more than that, for what
 * follows is not the handshake's. */
void *sgp_handshake_place(sgp_handshake_t *handshake, size_t *wanted);
void sgp_handshake_received(sgp_handshake_t *handshake, size_t bytes);

/* What is to be sent (0 bytes: nothing now), and how much of it was. */
const void *sgp_handshake_pending(const sgp_handshake_t *handshake, size_t *bytes);
void sgp_handshake_sent(sgp_handshake_t *handshake, size_t bytes);

/* Forgets the key: for one that is given up before its end. One that has ended has forgotten it. */
void sgp_handshake_fini(sgp_handshake_t *handshake);

/* In JUDGE. An answerer that does not know its rank or run when the caller's hello comes sends what
 * it has. refuse: reason is copied, cut to fit. */
void sgp_handshake_accept(sgp_handshake_t *handshake);
__attribute__((format(printf, 2, 3))) void sgp_handshake_refuse(sgp_handshake_t *handshake,
                                                                const char *reason, ...);

#endif
