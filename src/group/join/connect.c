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

/* ---- shared memory ---- */

/* Fills in local (size): the ranks that share memory with this one. Returns how many they are. */
static int find_local(const sgp_connect_options_t *options, bool *local) {
    const sgp_endpoint_t *mine = &options->endpoints[options->rank];
    int count = 0;
    for (int r = 0; r < options->size; r++) {
        local[r] = r != options->rank && mine->transport != SGP_CHOICE_TCP &&
                   options->endpoints[r].machine == mine->machine;
        count += local[r];
    }
    return count;
}

static sgp_status_t refuse_shm(const sgp_connect_options_t *options, const bool *local) {
    int r = 0;
    while (local[r] || r == options->rank) r++;
    return sgp_fail(SGP_ERR_UNSUPPORTED,
                    "transport shm: node %d (%s) and node %d (%s) share no memory; auto or tcp "
                    "reaches both",
                    options->rank, options->endpoints[options->rank].host, r,
                    options->endpoints[r].host);
}

/* Makes or checks a directory that only our user can enter. */
static sgp_status_t make_private(const char *path) {
    struct stat about;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot make the directory %s: %s", path, strerror(errno));
    if (lstat(path, &about) != 0)
        return sgp_fail(SGP_ERR_SYSTEM, "directory %s: %s", path, strerror(errno));
    if (!S_ISDIR(about.st_mode) || about.st_uid != geteuid() || (about.st_mode & 077))
        return sgp_fail(
            SGP_ERR_SYSTEM,
            "%s belongs to another user, or other users can enter it: nodes cannot meet there",
            path);
    return SGP_OK;
}

/* Every process of this run on this machine derives the same path. */
static sgp_status_t make_rendezvous(const sgp_connect_options_t *options, char path[PATH_MAX]) {
    unsigned long long run = options->endpoints[0].run;
    int length = options->rendezvous
                     ? snprintf(path, PATH_MAX, "%s/run-%016llx", options->rendezvous, run)
                     : snprintf(path, PATH_MAX, "/tmp/sgp-%u-%016llx", (unsigned)geteuid(), run);
    if (length >= PATH_MAX)
        return sgp_fail(SGP_ERR_SYSTEM, "%s: %s", options->rendezvous, strerror(ENAMETOOLONG));
    return make_private(path);
}

/* ---- keys ---- */

bool sgp_connect_key(const sgp_connect_options_t *options, sgp_key_t *key) {
    static const unsigned char none[SGP_ENDPOINT_SECRET];
    const unsigned char *secret = options->endpoints[0].secret;
    if (options->key) {
        *key = *options->key;
        return true;
    }
    if (memcmp(secret, none, sizeof none) == 0) return false;
    return sgp_key_make(secret, SGP_ENDPOINT_SECRET, key) == SGP_OK;
}

/* Fails here rather than with the first message. */
static sgp_status_t check_key(const sgp_connect_options_t *options, const sgp_address_t *addresses,
                              const bool *local) {
    char text[SGP_ADDRESS_TEXT];
    for (int r = 0; r < options->size; r++) {
        if (local[r] || r == options->rank || sgp_address_is_here(&addresses[r])) continue;
        return sgp_fail(
            SGP_ERR_INVALID,
            "node %d (%s, %s) is on another machine, and there is no key: give all nodes "
            "the same --key-file, or --insecure",
            r, options->endpoints[r].host, sgp_address_text(&addresses[r], text));
    }
    return SGP_OK;
}

/* ---- connecting ---- */

static sgp_status_t connect_tcp(const sgp_connect_options_t *options,
                                const sgp_address_t *addresses, const bool *local,
                                const char *rendezvous, int listener, sgp_transport_t **transport) {
    sgp_key_t key;
    bool keyed = sgp_connect_key(options, &key);
    sgp_status_t status =
        keyed || options->insecure ? SGP_OK : check_key(options, addresses, local);
    if (status != SGP_OK) {
        close(listener);
        return status;
    }
    sgp_tcp_options_t tcp = {.rank = options->rank,
                             .size = options->size,
                             .capacity = options->capacity,
                             .run = options->endpoints[0].run,
                             .listener = listener,
                             .addresses = addresses,
                             .key = keyed ? &key : NULL,
                             .insecure = options->insecure,
                             .encryption = options->encryption,
                             .machine = options->endpoints[options->rank].machine,
                             .local = local,
                             .rendezvous = rendezvous,
                             .timeout_ms = options->timeout_ms,
                             .peer_timeout_ms = options->peer_timeout_ms,
                             .patience = options->patience};
    status = sgp_tcp_connect(&tcp, transport);
    explicit_bzero(&key, sizeof key);
    return status;
}

static sgp_status_t connect_shm(const sgp_connect_options_t *options, const char *rendezvous,
                                sgp_transport_t **transport) {
    sgp_shm_options_t shm = {.rank = options->rank,
                             .size = options->size,
                             .rendezvous = rendezvous,
                             .timeout_ms = options->timeout_ms,
                             .peer_timeout_ms = options->peer_timeout_ms,
                             .patience = options->patience,
                             .run = options->endpoints[0].run};
    return sgp_shm_connect(&shm, transport);
}

static bool takes_newcomers(const sgp_connect_options_t *options) {
    return options->capacity > options->size;
}

/* Fills in addresses (size); those of ranks that nobody calls stay empty: newcomers call all. */
static sgp_status_t read_addresses(const sgp_connect_options_t *options, const bool *local,
                                   sgp_address_t *addresses) {
    sgp_status_t status = SGP_OK;
    for (int r = 0; r < options->size && status == SGP_OK; r++)
        if (takes_newcomers(options) || (!local[r] && r != options->rank))
            status = sgp_address_parse(options->endpoints[r].address, &addresses[r]);
    return status;
}

static sgp_status_t connect_all(const sgp_connect_options_t *options, bool *local,
                                sgp_address_t *addresses, int *listener,
                                sgp_transport_t **transport) {
    char path[PATH_MAX] = "";
    int neighbours = find_local(options, local);
    bool all = neighbours == options->size - 1;
    sgp_transport_choice_t choice = options->endpoints[options->rank].transport;
    if (choice == SGP_CHOICE_SHM && !all) return refuse_shm(options, local);
    sgp_status_t status = read_addresses(options, local, addresses);
    if (status == SGP_OK && neighbours > 0) status = make_rendezvous(options, path);
    if (status != SGP_OK) return status;
    int taken = *listener;
    if (options->answers || takes_newcomers(options) || (!all && options->size > 1)) {
        *listener = -1;
        status = connect_tcp(options, addresses, local, path, taken, transport);
    } else status = connect_shm(options, path, transport);
    if (*path) rmdir(path); /* fails while others still meet there */
    return status;
}

sgp_status_t sgp_connect(const sgp_connect_options_t *options, sgp_transport_t **transport) {
    int listener = options->listener;
    sgp_status_t status = sgp_endpoint_check_all(options->endpoints, options->size);
    bool *local = calloc((size_t)options->size, sizeof *local);
    sgp_address_t *addresses = calloc((size_t)options->size, sizeof *addresses);
    if (!local || !addresses)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to connect %d processes", options->size);
    if (status == SGP_OK) status = connect_all(options, local, addresses, &listener, transport);
    if (listener >= 0) close(listener);
    free(local);
    free(addresses);
    return status;
}
