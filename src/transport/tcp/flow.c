/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/flow.h"

static const sgp_turn_t no_turn;

void sgp_flow_init(sgp_flow_t *flow, bool gone) {
    *flow = (sgp_flow_t){.gone = gone};
    sgp_post_list_take(&flow->queue);
}

void sgp_flow_fini(sgp_flow_t *flow) {
    sgp_receipts_fini(&flow->receipts);
}

/* A message of one chunk need not wait. */
static bool takes_turns(const sgp_header_t *header) {
    return header->elements < header->count;
}

bool sgp_flow_begin_posting(sgp_flow_t *flow, sgp_scheduler_t *out, sgp_post_t *post) {
    bool begins = takes_turns(&post->header) && post->header.id > flow->posting;
    if (begins) {
        flow->posting = post->header.id;
        flow->posted = sgp_scheduler_begin(out, post->header.step);
    }
    post->turn = takes_turns(&post->header) ? flow->posted : no_turn;
    return begins;
}

/* Chunks come in any order, and those of a resent or an interleaved older message take the turn of the newest one. */
bool sgp_flow_begin_arriving(sgp_flow_t *flow, sgp_scheduler_t *in, const sgp_header_t *header) {
    if (!takes_turns(header) || header->id <= flow->message) return false;
    flow->message = header->id;
    flow->left = header->count;
    flow->arriving = sgp_scheduler_begin(in, header->step);
    return true;
}

bool sgp_flow_end_arriving(sgp_flow_t *flow, const sgp_header_t *header) {
    if (!flow->arriving.order) return false;
    flow->left -= header->elements < flow->left ? header->elements : flow->left;
    if (flow->left > 0) return false;
    flow->arriving = no_turn;
    return true;
}
