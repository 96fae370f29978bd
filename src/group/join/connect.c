/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/connect.h"

#include "base/logging.h"
#include "transport/shm/shm.h"
#include "transport/tcp/tcp.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- who shares memory with whom ---- */

/* local: (size) filled. Returns how many ranks share memory with this one. */
static int find_local(const sgp_party_t *party, bool *local) {
    const sgp_card_t *mine = &party->cards[party->rank];
    int count = 0;
    for (int r = 0; r < party->size; r++) {
        local[r] = r != party->rank && mine->carrier != SGP_CARRIER_TCP &&
                   party->cards[r].machine == mine->machine;
        count += local[r];
    }
    return count;
}

static sgp_status_t refuse_shm(const sgp_party_t *party, const bool *local) {
    int r = 0;
    while (local[r] || r == party->rank) r++;
    return sgp_fail(SGP_ERR_UNSUPPORTED,
                    "transport shm: node %d (%s) and node %d (%s) share no memory; auto or tcp "
                    "reaches both",
                    party->rank, party->cards[party->rank].host, r, party->cards[r].host);
}

/* ---- where they meet ---- */

/* A directory that belongs to us and nobody else can enter. */
static sgp_status_t make_private(const char *path) {
    struct stat about;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot make the directory %s: %s", path, strerror(errno));
    if (lstat(path, &about) != 0)
        return sgp_fail(SGP_ERR_SYSTEM, "directory %s: %s", path, strerror(errno));
    if (!S_ISDIR(about.st_mode) || about.st_uid != geteuid() || (about.st_mode & 077))
        return sgp_fail(
            SGP_ERR_SYSTEM,
            "%s belongs to somebody else, or others can enter it: nodes cannot meet there", path);
    return SGP_OK;
}

/* All of the run on this machine come to the same name. */
static sgp_status_t make_meeting_place(const sgp_party_t *party, char path[PATH_MAX]) {
    unsigned long long run = party->cards[0].run;
    int length = party->rendezvous
                     ? snprintf(path, PATH_MAX, "%s/run-%016llx", party->rendezvous, run)
                     : snprintf(path, PATH_MAX, "/tmp/sgp-%u-%016llx", (unsigned)geteuid(), run);
    if (length >= PATH_MAX)
        return sgp_fail(SGP_ERR_SYSTEM, "%s: %s", party->rendezvous, strerror(ENAMETOOLONG));
    return make_private(path);
}

/* ---- keys ---- */

bool sgp_party_key(const sgp_party_t *party, sgp_key_t *key) {
    static const unsigned char none[SGP_CARD_SECRET];
    const unsigned char *secret = party->cards[0].secret;
    if (party->key) {
        *key = *party->key;
        return true;
    }
    if (memcmp(secret, none, sizeof none) == 0) return false;
    return sgp_key_make(secret, SGP_CARD_SECRET, key) == SGP_OK;
}

/* Sooner than the first message would find out. */
static sgp_status_t check_key(const sgp_party_t *party, const sgp_address_t *addresses,
                              const bool *local) {
    char text[SGP_ADDRESS_TEXT];
    for (int r = 0; r < party->size; r++) {
        if (local[r] || r == party->rank || sgp_address_is_here(&addresses[r])) continue;
        return sgp_fail(
            SGP_ERR_INVALID,
            "node %d (%s, %s) is on another machine, and there is no key: give all nodes "
            "the same --key-file, or --insecure",
            r, party->cards[r].host, sgp_address_text(&addresses[r], text));
    }
    return SGP_OK;
}

/* ---- connecting ---- */

static sgp_status_t connect_tcp(const sgp_party_t *party, const sgp_address_t *addresses,
                                const bool *local, const char *place, int listener,
                                sgp_transport_t **transport) {
    sgp_key_t key;
    bool keyed = sgp_party_key(party, &key);
    sgp_status_t status = keyed || party->insecure ? SGP_OK : check_key(party, addresses, local);
    if (status != SGP_OK) {
        close(listener);
        return status;
    }
    sgp_tcp_options_t options = {.rank = party->rank,
                                 .size = party->size,
                                 .run = party->cards[0].run,
                                 .listener = listener,
                                 .addresses = addresses,
                                 .key = keyed ? &key : NULL,
                                 .insecure = party->insecure,
                                 .local = local,
                                 .rendezvous = place,
                                 .timeout_ms = party->timeout_ms,
                                 .peer_timeout_ms = party->peer_timeout_ms};
    return sgp_tcp_connect(&options, transport);
}

static sgp_status_t connect_shm(const sgp_party_t *party, const char *place,
                                sgp_transport_t **transport) {
    sgp_shm_options_t options = {.rank = party->rank,
                                 .size = party->size,
                                 .rendezvous = place,
                                 .timeout_ms = party->timeout_ms,
                                 .peer_timeout_ms = party->peer_timeout_ms,
                                 .run = party->cards[0].run};
    return sgp_shm_connect(&options, transport);
}

/* addresses: (size) filled; those that nobody calls stay empty. */
static sgp_status_t read_addresses(const sgp_party_t *party, const bool *local,
                                   sgp_address_t *addresses) {
    sgp_status_t status = SGP_OK;
    for (int r = 0; r < party->size && status == SGP_OK; r++)
        if (!local[r] && r != party->rank)
            status = sgp_address_parse(party->cards[r].address, &addresses[r]);
    return status;
}

static sgp_status_t connect_all(const sgp_party_t *party, bool *local, sgp_address_t *addresses,
                                int *listener, sgp_transport_t **transport) {
    char path[PATH_MAX] = "";
    int neighbours = find_local(party, local);
    bool all = neighbours == party->size - 1;
    sgp_carrier_t carrier = party->cards[party->rank].carrier;
    if (carrier == SGP_CARRIER_SHM && !all) return refuse_shm(party, local);
    sgp_status_t status = read_addresses(party, local, addresses);
    if (status == SGP_OK && neighbours > 0) status = make_meeting_place(party, path);
    if (status != SGP_OK) return status;
    int taken = *listener;
    if (party->answers || (!all && party->size > 1)) {
        *listener = -1;
        status = connect_tcp(party, addresses, local, path, taken, transport);
    } else status = connect_shm(party, path, transport);
    if (*path) rmdir(path); /* fails while another one is meeting there */
    return status;
}

sgp_status_t sgp_party_connect(const sgp_party_t *party, sgp_transport_t **transport) {
    int listener = party->listener;
    sgp_status_t status = sgp_card_check_all(party->cards, party->size);
    bool *local = calloc((size_t)party->size, sizeof *local);
    sgp_address_t *addresses = calloc((size_t)party->size, sizeof *addresses);
    if (!local || !addresses)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to connect %d processes", party->size);
    if (status == SGP_OK) status = connect_all(party, local, addresses, &listener, transport);
    if (listener >= 0) close(listener);
    free(local);
    free(addresses);
    return status;
}
