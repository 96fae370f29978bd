/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake of two processes that have just connected: do they belong together?
 *
 * Each sends a hello: identity, run, version of the program. Where there is a key, both prove that they know it, and make session
 * keys (wire/noise.h); all but the version of the program is encrypted then. Each judges the other's hello, and sends a verdict,
 * with a reason for the other's log. A caller that sends no hello gets no answer.
 *
 *     caller                             answerer           without a key
 *     hello                    ->
 *                              <-        hello, digest
 *     digest, verdict          ->
 *                              <-        verdict
 *
 *     hello, Noise message 1   ->                           with a key
 *                              <-        hello, Noise message 2
 *     sealed verdict           ->
 *                              <-        sealed verdict
 *
 * The payload of a Noise message is the whole hello; the one before it has only what tells another version of sgp, and one
 * without a key, that it is another one. The answerer believes the caller's hello when its verdict has come, which no recording
 * can make. A digest is a hash over both hellos, against damage. Without the key nothing in an answer allows to guess it.
 *
 * A state machine over bytes: it knows no socket, and never blocks. Not
 * thread-safe. */
#ifndef SGP_WIRE_HANDSHAKE_H
#define SGP_WIRE_HANDSHAKE_H

#include "wire/key.h"
#include "wire/seal.h"

#include <sgp/encryption.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_HANDSHAKE_VERSION 3
#define SGP_HELLO_BYTES       128
#define SGP_PROOF_BYTES       32
#define SGP_VERDICT_BYTES     192 /* all 0: accepted; 1: refused, then a reason that ends with 0 */
#define SGP_NONCE_BYTES       32
#define SGP_OPENING_BYTES     (SGP_HELLO_BYTES + SGP_NOISE_OVERHEAD) /* a Noise message */

typedef enum sgp_purpose {
    SGP_PURPOSE_JOIN = 1, /* the caller asks to become a member of a group that is being made */
    SGP_PURPOSE_LINK,     /* the caller is a member and opens a link to the answerer */
    SGP_PURPOSE_ENTER,    /* the caller asks to become a member of a group that runs */
    SGP_PURPOSE_LAST = SGP_PURPOSE_ENTER,
} sgp_purpose_t;

typedef struct sgp_hello {
    sgp_purpose_t purpose; /* the answerer repeats the caller's */
    int rank;              /* -1: not known yet */
    int size;              /* processes of the group; 0: not known yet */
    uint64_t run;          /* 0: not known yet */
    uint64_t
        fingerprint; /* equal on both sides: the chunk size (LINK), the launcher's job (JOIN); ENTER: 0 */
    uint32_t incarnation; /* of the rank (LINK): counts the uses of its seat, from 0 */
    int capacity;         /* seats of the group (LINK); 0: size */
    char version[24];     /* of the program, "0.1.0"; ends with 0 */
    sgp_encryption_t encryption;
    uint64_t machine; /* equal inside of one machine (SGP_ENCRYPTION_AUTO); 0: not known */
} sgp_hello_t;

typedef enum sgp_handshake_state {
    SGP_HANDSHAKE_RUNNING, /* waits for bytes, or has bytes to send */
    SGP_HANDSHAKE_JUDGE,   /* `theirs` is valid and proven: call accept or refuse */
    SGP_HANDSHAKE_DONE,    /* both accepted: send the pending bytes, then use the connection */
    SGP_HANDSHAKE_REFUSED, /* by either side, see `reason`: send the pending bytes, then close */
} sgp_handshake_state_t;

/* Embedded. theirs, reason and refused_by_them may be read; the rest is private. */
typedef struct sgp_handshake {
    bool caller;
    struct sgp_handshake_secrets *secrets; /* owned; NULL: no key */
    sgp_handshake_state_t state;
    sgp_hello_t theirs;             /* valid from JUDGE on */
    char reason[SGP_VERDICT_BYTES]; /* valid in REFUSED; printable, ends with 0 */
    bool refused_by_them;
    int stage;
    size_t in_have, in_want, out_at, out_end;
    unsigned char hello[2][SGP_HELLO_BYTES]; /* the caller's, the answerer's; whole, not as sent */
    unsigned char in[SGP_HELLO_BYTES + SGP_OPENING_BYTES + SGP_VERDICT_BYTES];
    unsigned char out[SGP_HELLO_BYTES + SGP_OPENING_BYTES + SGP_VERDICT_BYTES];
} sgp_handshake_t;

/* mine: copied; an answerer's purpose is ignored. key: copied; NULL: none. A side with a key
 * refuses a side without one, and the reason says so. Without memory for the key the handshake is REFUSED. */
void sgp_handshake_init(sgp_handshake_t *handshake, bool caller, const sgp_hello_t *mine,
                        const sgp_key_t *key);

static inline sgp_handshake_state_t sgp_handshake_state(const sgp_handshake_t *handshake) {
    return handshake->state;
}

/* The buffer for received bytes. *wanted: its size (0: nothing is awaited now); never read more, as
 * later bytes are not the handshake's. */
void *sgp_handshake_place(sgp_handshake_t *handshake, size_t *wanted);
void sgp_handshake_received(sgp_handshake_t *handshake, size_t bytes);

/* The bytes to send (0: none now); then, how many of them were sent. */
const void *sgp_handshake_pending(const sgp_handshake_t *handshake, size_t *bytes);
void sgp_handshake_sent(sgp_handshake_t *handshake, size_t bytes);

/* In DONE, once: what seals the connection from here on, the caller's to destroy. Without a key there are none. false: no
 * memory. */
bool sgp_handshake_seals(sgp_handshake_t *handshake, sgp_seals_t *seals);

/* Erases what is secret. Zeros are fine. */
void sgp_handshake_fini(sgp_handshake_t *handshake);

/* In JUDGE only. reason: copied, cut to fit. */
void sgp_handshake_accept(sgp_handshake_t *handshake);
__attribute__((format(printf, 2, 3))) void sgp_handshake_refuse(sgp_handshake_t *handshake,
                                                                const char *reason, ...);

#endif
