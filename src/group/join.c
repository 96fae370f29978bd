/* SPDX-License-Identifier: Apache-2.0 */
/* Joining by the launcher's environment or by given rank and size. */
#include "base/log.h"
#include "group/group.h"
#include "transport/shm/shm.h"

#include <errno.h>
#include <stdlib.h>

#define DEFAULT_TIMEOUT_MS 30000 /* for joining */

/* The whole number in an environment variable. */
static sgp_status_t read_number(const char *name, int *value) {
    const char *text = getenv(name);
    if (!text) return sgp_fail(SGP_ERR_INVALID, "%s is not set, and SGP_SIZE is", name);
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno || end == text || *end || number < 0 || number > 1 << 20)
        return sgp_fail(SGP_ERR_INVALID, "%s is \"%s\", must be a whole number", name, text);
    *value = (int)number;
    return SGP_OK;
}

static sgp_status_t read_environment(sgp_shm_options_t *place) {
    if (!getenv("SGP_SIZE") && !getenv("SGP_RANK")) {
        place->rank = 0;
        place->size = 1;
        return SGP_OK;
    }
    sgp_status_t status = read_number("SGP_SIZE", &place->size);
    if (status == SGP_OK) status = read_number("SGP_RANK", &place->rank);
    return status;
}

sgp_status_t sgp_group_join(const sgp_group_options_t *options, sgp_group_t **group) {
    if (options->timeout_ms < 0 || options->join_timeout_ms < 0)
        return sgp_fail(SGP_ERR_INVALID, "group: time limits of %d and %d ms, must be above 0",
                        options->join_timeout_ms, options->timeout_ms);
    sgp_shm_options_t place = {
        .rank = options->rank, .size = options->size, .rendezvous = options->rendezvous};
    place.timeout_ms = options->join_timeout_ms ? options->join_timeout_ms : DEFAULT_TIMEOUT_MS;
    if (!place.rendezvous) place.rendezvous = getenv("SGP_RENDEZVOUS");
    sgp_status_t status = options->size ? SGP_OK : read_environment(&place);
    sgp_transport_t *transport = NULL;
    if (status == SGP_OK) status = sgp_shm_connect(&place, &transport);
    if (status != SGP_OK) return status;
    sgp_log_set_rank(place.rank);
    status = sgp_group_create(transport, options->timeout_ms, group);
    if (status != SGP_OK) sgp_transport_destroy(transport);
    return status;
}
