/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/sealed.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ROOM (SGP_SEAL_MOST + SGP_SEAL_OVERHEAD) /* for a record */

bool sgp_sealed_begin(sgp_sealed_t *sealed, sgp_handshake_t *handshake) {
    *sealed = (sgp_sealed_t){.have = 0};
    return sgp_handshake_seals(handshake, &sealed->seals);
}

void sgp_sealed_fini(sgp_sealed_t *sealed) {
    sgp_seals_destroy(&sealed->seals);
    if (sealed->in) sodium_memzero(sealed->in, ROOM); /* it can hold what was secret */
    free(sealed->in);
    *sealed = (sgp_sealed_t){.have = 0};
}

/* ---- receiving ---- */

/* The record is whole: its contents take its place. */
static bool open_record(sgp_sealed_t *sealed) {
    size_t bytes = sealed->have - SGP_SEAL_OVERHEAD;
    unsigned char *sealed_bytes = sealed->in + SGP_SEAL_HEAD;
    sealed->have = 0;
    sealed->at = SGP_SEAL_HEAD;
    sealed->end = SGP_SEAL_HEAD + bytes;
    return sgp_seal_open(sealed->seals.in, sealed->in, sealed_bytes, bytes, sealed_bytes);
}

static size_t take(sgp_sealed_t *sealed, void *place, size_t wanted) {
    size_t here = sealed->end - sealed->at, now = here < wanted ? here : wanted;
    memcpy(place, sealed->in + sealed->at, now);
    sealed->at += now;
    return now;
}

static ssize_t fails(int error) {
    errno = error;
    return -1;
}

ssize_t sgp_sealed_receive(sgp_sealed_t *sealed, int socket, void *place, size_t wanted) {
    if (!sealed->seals.in) return recv(socket, place, wanted, 0);
    if (!sealed->in && !(sealed->in = malloc(ROOM))) return fails(ENOMEM);
    while (sealed->at == sealed->end) {
        size_t record;
        if (!sgp_seal_arriving(sealed->in, sealed->have, &record)) return fails(EBADMSG);
        if (sealed->have == record) {
            if (!open_record(sealed)) return fails(EBADMSG);
            continue;
        }
        ssize_t got = recv(socket, sealed->in + sealed->have, record - sealed->have, 0);
        if (got <= 0) return got;
        sealed->have += (size_t)got;
    }
    return (ssize_t)take(sealed, place, wanted);
}

/* ---- sending ---- */

unsigned char *sgp_sealed_wrap(sgp_sealed_t *sealed, const void *bytes, size_t length,
                               size_t *count) {
    const unsigned char *from = bytes;
    size_t records = (length + SGP_SEAL_MOST - 1) / SGP_SEAL_MOST;
    unsigned char *made = malloc(length + records * SGP_SEAL_OVERHEAD + 1), *at = made;
    bool good = made != NULL;
    if (good && !sealed->seals.out) memcpy(made, bytes, length), at += length;
    for (size_t done = 0, part; good && sealed->seals.out && done < length; done += part) {
        part = length - done < SGP_SEAL_MOST ? length - done : SGP_SEAL_MOST;
        good = sgp_seal_close(sealed->seals.out, from + done, part, at);
        at += part + SGP_SEAL_OVERHEAD;
    }
    *count = (size_t)(at - made);
    if (good) return made;
    free(made);
    return NULL;
}
