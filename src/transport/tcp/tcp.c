/* SPDX-License-Identifier: Apache-2.0 */
/* The transport is the one over shared memory, whose slots hold what is sent, with the links as its
 * remote: tcp where all ranks are remote. */
#include "transport/tcp/tcp.h"

#include "base/constants.h"
#include "base/logging.h"
#include "transport/shm/shm.h"
#include "transport/tcp/tcp_engine.h"

#include <unistd.h>

static sgp_status_t check(const sgp_tcp_options_t *options) {
    if (options->size < 1 || options->size > SGP_MOST_PROCESSES)
        return sgp_fail(SGP_ERR_INVALID, "%d nodes: must be 1 to %d", options->size,
                        SGP_MOST_PROCESSES);
    if (options->rank < 0 || options->rank >= options->size)
        return sgp_fail(SGP_ERR_INVALID, "rank %d of %d nodes: must be 0 to %d", options->rank,
                        options->size, options->size - 1);
    if (options->chunk_bytes % 64)
        return sgp_fail(SGP_ERR_INVALID, "tcp: chunk_bytes is %zu, must be a multiple of 64",
                        options->chunk_bytes);
    return SGP_OK;
}

sgp_status_t sgp_tcp_connect(const sgp_tcp_options_t *options, sgp_transport_t **transport) {
    size_t chunk_bytes = options->chunk_bytes ? options->chunk_bytes : SGP_CHUNK_BYTES;
    sgp_links_t *links = NULL;
    sgp_status_t status = check(options);
    if (status != SGP_OK) {
        close(options->listener);
        return status;
    }
    status = sgp_links_create(options, chunk_bytes, &links);
    if (status != SGP_OK) return status;
    sgp_shm_options_t shm = {.rank = options->rank,
                             .size = options->size,
                             .rendezvous = options->rendezvous,
                             .chunk_bytes = chunk_bytes,
                             .timeout_ms = options->timeout_ms,
                             .peer_timeout_ms = options->peer_timeout_ms,
                             .run = options->run,
                             .local = options->local,
                             .remote = &links->remote};
    return sgp_shm_connect(&shm, transport);
}
