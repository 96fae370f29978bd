/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/join_running.h"

#include "base/logging.h"
#include "group/join/candidate.h"
#include "group/join/elastic_limits.h"
#include "group/newcomers.h"

static sgp_status_t call(const sgp_group_options_t *options, const sgp_origin_t *from,
                         sgp_candidate_t **candidate) {
    sgp_candidate_options_t made = {.contacts = options->contacts,
                                    .key = from->keyed ? &from->key : NULL,
                                    .insecure = from->insecure,
                                    .encryption = from->encryption,
                                    .interface = from->interface,
                                    .ports = from->ports,
                                    .detail = options->about,
                                    .detail_bytes = (size_t)options->about_bytes,
                                    .seat = options->rejoin ? options->rejoin_rank : -1,
                                    .incarnation = options->rejoin_incarnation,
                                    .timeout_ms = from->join_timeout_ms,
                                    .waits = true};
    return sgp_candidate_call(&made, candidate);
}

/* Takes the candidate on success. */
static sgp_status_t found(sgp_candidate_t *candidate, const sgp_origin_t *from, bool returns,
                          sgp_group_t **group) {
    const sgp_welcome_t *welcome = sgp_candidate_welcome(candidate);
    sgp_newcomer_t newcomer = {.candidate = candidate,
                               .id = sgp_candidate_id(candidate),
                               .view = welcome->view,
                               .view_bytes = welcome->view_bytes,
                               .timeout_ms = from->timeout_ms,
                               .returns = returns};
    sgp_origin_t *origin = NULL;
    sgp_status_t status = sgp_origin_copy(from, &origin);
    if (status == SGP_OK) status = sgp_candidate_connect(candidate, &newcomer.transport);
    if (status == SGP_OK) status = sgp_newcomer_found(&newcomer, group);
    if (status != SGP_OK) {
        sgp_transport_destroy(newcomer.transport);
        sgp_origin_destroy(origin);
        return status;
    }
    sgp_group_set_origin(*group, origin);
    sgp_elastic_limits_set(origin, *group);
    return SGP_OK;
}

sgp_status_t sgp_join_running(const sgp_group_options_t *options, sgp_origin_t *from,
                              sgp_group_t **group) {
    sgp_candidate_t *candidate;
    sgp_status_t status = call(options, from, &candidate);
    if (status != SGP_OK) return status;
    from->peer_timeout_ms = sgp_candidate_welcome(candidate)->peer_timeout_ms;
    status = found(candidate, from, options->rejoin, group);
    if (status != SGP_OK) sgp_candidate_destroy(candidate);
    return status;
}
