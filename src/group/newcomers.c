/* SPDX-License-Identifier: Apache-2.0 */
#include "group/newcomers.h"

#include "base/abi.h"
#include "base/bytes.h"
#include "base/constants.h"
#include "base/logging.h"
#include "group/agree_call.h"
#include "group/join/origin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sgp_newcomers_state {
    sgp_group_t *group;
    /* A member that accepts newcomers: */
    bool accepts;
    sgp_newcomers_t functions; /* blob: owned */
    sgp_sponsor_t *sponsor;    /* NULL: over no sockets, or it does not accept */
    unsigned char *view;       /* of the last offer */
    /* A newcomer: */
    sgp_candidate_t *candidate; /* owned, until it is ready */
    void *blob;                 /* (blob_bytes) of its sponsor */
    size_t blob_bytes;
    uint64_t step; /* K, once it is known; else 0 */
    uint64_t first_step;
    bool entering;
    bool returns; /* it was a member before */
};

static void destroy(sgp_newcomers_state_t *state) {
    sgp_sponsor_destroy(state->sponsor);
    sgp_candidate_destroy(state->candidate);
    free((void *)state->functions.blob);
    free(state->view);
    free(state->blob);
    free(state);
}

/* NULL, logged: no memory. */
static sgp_newcomers_state_t *state_of(sgp_group_t *group) {
    sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    if (state) return state;
    state = calloc(1, sizeof *state);
    if (!state) {
        sgp_fail(SGP_ERR_NO_MEMORY, "no memory for newcomers");
        return NULL;
    }
    state->group = group;
    sgp_group_set_newcomers(group, state, destroy);
    return state;
}

static sgp_membership_t *membership_of(const sgp_newcomers_state_t *state) {
    return sgp_group_membership(state->group);
}

/* ---- the owner of a sponsor ---- */

static bool is_free(void *context, int seat, uint32_t *incarnation) {
    sgp_newcomers_state_t *state = context;
    uint32_t known = 0;
    if (!sgp_membership_is_free(membership_of(state), seat, &known)) return false;
    if (known > *incarnation) *incarnation = known;
    return true;
}

/* The view as messages, each behind its length. false: no memory, or too long. */
static bool write_view(sgp_newcomers_state_t *state, size_t *bytes) {
    size_t room = SGP_VIEW_MOST_BYTES, length;
    *bytes = 0;
    for (sgp_view_cursor_t cursor = {.seat = 0}; !cursor.done; *bytes += 4 + length) {
        unsigned char *grown = realloc(state->view, *bytes + 4 + room);
        if (!grown || *bytes + 4 + room > SGP_ENTER_VIEW_BYTES + room) return false;
        state->view = grown;
        length = sgp_membership_encode(membership_of(state), &cursor, grown + *bytes + 4, room);
        sgp_bytes_put(grown + *bytes, length, 4);
    }
    return true;
}

static bool offer(void *context, const sgp_sponsored_t *candidate, sgp_sponsor_offer_t *made,
                  char *why) {
    sgp_newcomers_state_t *state = context;
    const sgp_newcomers_t *functions = &state->functions;
    if (functions->judge && !functions->judge(functions->user, candidate->detail,
                                              candidate->detail_bytes, why, SGP_ENTER_REASON))
        return false;
    if (!write_view(state, &made->view_bytes)) {
        snprintf(why, SGP_ENTER_REASON, "no memory for the list of members");
        return false;
    }
    made->view = state->view;
    made->blob = functions->blob;
    made->blob_bytes = functions->blob_bytes;
    return true;
}

static bool snapshot(void *context, const sgp_sponsored_t *candidate, void **bytes, size_t *count,
                     char *why) {
    const sgp_newcomers_state_t *state = context;
    const sgp_newcomers_t *functions = &state->functions;
    (void)candidate;
    *bytes = NULL;
    *count = 0;
    if (!functions->snapshot || functions->snapshot(functions->user, bytes, count) == SGP_OK)
        return true;
    snprintf(why, SGP_ENTER_REASON, "the sponsor has no state to give");
    return false;
}

/* Another member may have given the seat away meanwhile. */
static bool admit(void *context, const sgp_sponsored_t *candidate, uint64_t *step, bool *again,
                  char *why) {
    sgp_newcomers_state_t *state = context;
    uint32_t incarnation;
    if (!sgp_membership_is_free(membership_of(state), candidate->seat, &incarnation) ||
        incarnation > candidate->incarnation) {
        snprintf(why, SGP_ENTER_REASON, "seat %d has gone to another", candidate->seat);
        return *again = true, false;
    }
    *step = sgp_membership_next_plan(membership_of(state));
    sgp_member_notice_t notice = {.kind = SGP_MEMBER_JOIN,
                                  .seat = candidate->seat,
                                  .incarnation = candidate->incarnation,
                                  .step = *step,
                                  .candidate = candidate->candidate,
                                  .origin = sgp_group_rank(state->group),
                                  .card_bytes = candidate->card ? SGP_CARD_BYTES : 0,
                                  .card = candidate->card};
    return sgp_membership_tell(membership_of(state), &notice) == SGP_OK;
}

/* Another sponsor may have given the seat away at the same moment: the views decide. */
static bool settled(void *context, const sgp_sponsored_t *candidate, bool *stays) {
    const sgp_newcomers_state_t *state = context;
    return sgp_membership_is_settled(membership_of(state), candidate->seat, candidate->incarnation,
                                     candidate->candidate, stays);
}

static void parted(void *context, const sgp_sponsored_t *candidate, bool admitted) {
    (void)context;
    if (!admitted)
        sgp_log(SGP_LOG_INFO, "a newcomer that was offered seat %d does not join", candidate->seat);
}

sgp_sponsor_owner_t sgp_newcomers_owner(sgp_group_t *group) {
    return (sgp_sponsor_owner_t){.is_free = is_free,
                                 .offer = offer,
                                 .snapshot = snapshot,
                                 .admit = admit,
                                 .settled = settled,
                                 .parted = parted,
                                 .context = sgp_group_newcomers(group)};
}

/* ---- accepting ---- */

static sgp_status_t check(const sgp_group_t *group, const sgp_newcomers_t *newcomers) {
    if (newcomers->blob_bytes > SGP_ENTER_BLOB_BYTES)
        return sgp_fail(SGP_ERR_INVALID, "accept: a blob of %zu bytes, must be at most %zu",
                        newcomers->blob_bytes, SGP_ENTER_BLOB_BYTES);
    if (!sgp_group_membership(group))
        return sgp_fail(SGP_ERR_UNSUPPORTED, "accept: the group is not elastic");
    return SGP_OK;
}

static sgp_status_t copy_blob(const void *blob, size_t bytes, void **copy) {
    *copy = malloc(bytes + 1);
    if (!*copy) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a blob of %zu bytes", bytes);
    if (bytes) memcpy(*copy, blob, bytes);
    return SGP_OK;
}

static sgp_status_t begin_to_sponsor(sgp_newcomers_state_t *state) {
    const sgp_origin_t *origin = sgp_group_origin(state->group);
    sgp_sponsor_options_t options = {.transport = sgp_group_transport(state->group),
                                     .peer_timeout_ms = origin ? origin->peer_timeout_ms : 0,
                                     .owner = sgp_newcomers_owner(state->group)};
    return state->sponsor ? SGP_OK : sgp_sponsor_create(&options, &state->sponsor);
}

static void stop(sgp_group_t *group) {
    sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    if (!state) return;
    sgp_sponsor_destroy(state->sponsor);
    state->sponsor = NULL;
    state->accepts = false;
}

sgp_status_t sgp_newcomers_accept(sgp_group_t *group, const sgp_newcomers_t *newcomers,
                                  bool sockets) {
    void *blob;
    sgp_status_t status = check(group, newcomers);
    if (status != SGP_OK) return status;
    sgp_newcomers_state_t *state = state_of(group);
    status = state ? copy_blob(newcomers->blob, newcomers->blob_bytes, &blob) : SGP_ERR_NO_MEMORY;
    if (status != SGP_OK) return status;
    free((void *)state->functions.blob);
    state->functions = *newcomers;
    state->functions.blob = blob;
    state->accepts = true;
    return sockets ? begin_to_sponsor(state) : SGP_OK;
}

void sgp_newcomers_begin_step(sgp_group_t *group) {
    sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    if (state && state->sponsor) sgp_sponsor_serve(state->sponsor);
}

/* ---- a newcomer ---- */

static sgp_status_t read_view(sgp_membership_t *membership, const unsigned char *at, size_t left) {
    const char *reason = "its length";
    while (left > 4) {
        size_t length = sgp_bytes_get(at, 4);
        if (length > left - 4 ||
            sgp_membership_decode(membership, at + 4, length, &reason) != SGP_OK)
            return sgp_fail(SGP_ERR_FORMAT, "the sponsor's list of members makes no sense: %s",
                            reason);
        at += 4 + length;
        left -= 4 + length;
    }
    return left ? sgp_fail(SGP_ERR_FORMAT, "the sponsor's list of members is cut off") : SGP_OK;
}

static sgp_status_t fill(sgp_newcomers_state_t *state, const sgp_newcomer_t *newcomer) {
    sgp_membership_t *membership = membership_of(state);
    state->entering = true;
    state->returns = newcomer->returns;
    state->step = newcomer->step;
    sgp_membership_set_self(membership, newcomer->transport->incarnation, newcomer->id);
    sgp_status_t status = read_view(membership, newcomer->view, newcomer->view_bytes);
    if (status != SGP_OK || !newcomer->candidate) return status;
    const sgp_welcome_t *welcome = sgp_candidate_welcome(newcomer->candidate);
    state->blob_bytes = welcome->blob_bytes;
    return copy_blob(welcome->blob, welcome->blob_bytes, &state->blob);
}

sgp_status_t sgp_newcomer_found(const sgp_newcomer_t *newcomer, sgp_group_t **group) {
    sgp_group_t *made;
    sgp_status_t status = sgp_group_found(newcomer->transport, newcomer->timeout_ms, &made);
    if (status != SGP_OK) return status;
    sgp_newcomers_state_t *state = state_of(made);
    status = state ? fill(state, newcomer) : SGP_ERR_NO_MEMORY;
    if (status != SGP_OK) {
        sgp_group_undo(made);
        return status;
    }
    state->candidate = newcomer->candidate;
    *group = made;
    return SGP_OK;
}

bool sgp_newcomer_is_entering(const sgp_group_t *group) {
    const sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    return state && state->entering;
}

bool sgp_newcomer_returns(const sgp_group_t *group) {
    const sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    return state && state->returns;
}

sgp_status_t sgp_newcomer_ready(sgp_group_t *group, uint64_t *step) {
    sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    int timeout_ms = (int)(sgp_group_timeout(group) / SGP_MILLISECOND);
    sgp_status_t status = SGP_OK;
    if (state->candidate) status = sgp_candidate_ready(state->candidate, timeout_ms, &state->step);
    if (status == SGP_OK) status = sgp_membership_enter(membership_of(state), state->step);
    if (status != SGP_OK) return status;
    sgp_candidate_destroy(state->candidate);
    state->candidate = NULL;
    *step = state->step;
    return SGP_OK;
}

void sgp_newcomer_entered(sgp_group_t *group, uint64_t first_step) {
    sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    state->entering = false;
    state->first_step = first_step;
}

/* ---- public calls ---- */

#define LEAST (offsetof(sgp_newcomers_t, user) + sizeof(void *))

static sgp_status_t begin_to_accept(sgp_group_t *group, const sgp_newcomers_t *theirs,
                                    size_t size) {
    sgp_newcomers_t newcomers = {.blob = NULL};
    if (!theirs) return stop(group), SGP_OK;
    sgp_status_t status = sgp_abi_check("newcomers", size, LEAST);
    if (status != SGP_OK) return status;
    memcpy(&newcomers, theirs, size < sizeof newcomers ? size : sizeof newcomers);
    return sgp_newcomers_accept(group, &newcomers, true);
}

sgp_status_t sgp_group_accept_sized(sgp_group_t *group, const sgp_newcomers_t *newcomers,
                                    size_t size) {
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(group));
    return sgp_api_end(before, begin_to_accept(group, newcomers, size));
}

const void *sgp_group_blob(const sgp_group_t *group, size_t *bytes) {
    const sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    *bytes = state && state->blob ? state->blob_bytes : 0;
    return state && state->blob ? state->blob : "";
}

static sgp_status_t fetch(sgp_group_t *group, size_t most, void **bytes, size_t *count) {
    sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    int timeout_ms = (int)(sgp_group_timeout(group) / SGP_MILLISECOND);
    if (!state || !state->candidate)
        return sgp_fail(SGP_ERR_INVALID, "fetch: this node is no newcomer, or has its mixer");
    return sgp_candidate_fetch(state->candidate, timeout_ms, most, bytes, count);
}

sgp_status_t sgp_group_fetch(sgp_group_t *group, size_t most, void **bytes, size_t *count) {
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(group));
    return sgp_api_end(before, fetch(group, most, bytes, count));
}

void sgp_group_decline(sgp_group_t *group, const char *why) {
    sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    if (!state || !state->candidate) return;
    const sgp_log_sink_t *before = sgp_api_begin(sgp_group_sink(group));
    sgp_log(SGP_LOG_ERROR, "this node does not join: %s", why);
    sgp_candidate_decline(state->candidate, why);
    sgp_candidate_destroy(state->candidate);
    state->candidate = NULL;
    sgp_api_end(before, SGP_OK);
}

uint64_t sgp_group_first_step(const sgp_group_t *group) {
    const sgp_newcomers_state_t *state = sgp_group_newcomers(group);
    return state ? state->first_step : 0;
}
