/* SPDX-License-Identifier: Apache-2.0 */
/* How a message gets from one rank to another over SimGrid's links: its turn on the two lines, a carrier, and the
 * receiver's queue. */
#include "transport/simulated/network_path.h"

#include "transport/simulated/deliveries.h"
#include "transport/simulated/simulated_message.h"

#define CARRIER_STACK ((size_t)32 << 10)

/* ---- queues of deliveries, oldest first ---- */

static void put(delivery_t ***last, delivery_t *delivery) {
    delivery->next = NULL;
    **last = delivery;
    *last = &delivery->next;
}

static delivery_t *take(delivery_t **first, delivery_t ***last) {
    delivery_t *delivery = *first;
    if (!delivery) return NULL;
    *first = delivery->next;
    if (!*first) *last = first;
    return delivery;
}

delivery_t *sgp_path_take(rank_t *rank) {
    return take(&rank->first, &rank->last);
}

/* ---- carriers ---- */

static void carrier_main(void *argument);

/* Gives way. */
static void dispatch(sgp_simulated_t *cluster, delivery_t *delivery) {
    put(&cluster->last_waiting, delivery);
    if (cluster->idle > 0) cluster->idle--;
    else {
        cluster->carriers++;
        cluster->grid->actor(0, CARRIER_STACK, carrier_main, cluster);
    }
    cluster->grid->release(cluster->work);
}

void sgp_path_close(sgp_simulated_t *cluster) {
    for (int c = 0; c < cluster->carriers; c++) cluster->grid->release(cluster->work);
}

static void arrive(sgp_simulated_t *cluster, delivery_t *delivery) {
    rank_t *receiver = &cluster->ranks[delivery->dst];
    if (receiver->state != RANK_WORKS) {
        receiver->transport.counters.lost++;
        sgp_simulated_message_drop(delivery->message);
        return;
    }
    put(&receiver->last, delivery);
    sgp_contexts_arrived(&receiver->contexts);
}

/* ---- turns ---- */

/* A message passes when no message of another step does at either end, and then it passes whole. What began first
 * goes first; it does not wait for one that waits itself, for over tcp a line is not kept idle either.
 * Where messages leave one by one, a line out passes one at a time, whatever its step. */

static line_t *line_of(const flow_t *flow, int end) {
    rank_t *sender = flow->message->sender;
    return &(end == OUT ? sender : &sender->cluster->ranks[flow->dst])->lines[end];
}

static bool one_by_one(const flow_t *flow) {
    return flow->message->sender->cluster->options.one_by_one;
}

static bool is_free(const flow_t *flow, int end) {
    const line_t *line = line_of(flow, end);
    if (line->passing == 0) return true;
    return line->step == flow->message->step && !(end == OUT && one_by_one(flow));
}

static bool may_pass(const flow_t *flow) {
    return is_free(flow, OUT) && is_free(flow, IN);
}

static void wait_at(flow_t *flow, int end) {
    line_t *line = line_of(flow, end);
    if (flow->waits[end]) return;
    flow->waits[end] = true;
    flow->next[end] = NULL;
    flow->previous[end] = line->last;
    if (line->last) line->last->next[end] = flow;
    else line->first = flow;
    line->last = flow;
}

static void end_waiting(flow_t *flow, int end) {
    line_t *line = line_of(flow, end);
    if (!flow->waits[end]) return;
    flow->waits[end] = false;
    if (flow->previous[end]) flow->previous[end]->next[end] = flow->next[end];
    else line->first = flow->next[end];
    if (flow->next[end]) flow->next[end]->previous[end] = flow->previous[end];
    else line->last = flow->previous[end];
}

/* Its place in line is that of its beginning; but where n - 1 leave one by one, only those wait at a receiver that it
 * keeps waiting: n (n - 1) places would be looked at in vain. */
static void begin_waiting(flow_t *flow) {
    wait_at(flow, OUT);
    if (!one_by_one(flow) || !is_free(flow, IN)) wait_at(flow, IN);
}

/* Its chunks travel one after the other: at a time they would share the line, and all arrive at the end. Gives
 * way. */
static void move(flow_t *flow) {
    delivery_t *delivery = take(&flow->held, &flow->last_held);
    flow->moves = delivery != NULL;
    if (delivery) dispatch(flow->message->sender->cluster, delivery);
}

/* Gives way. */
static void pass(flow_t *flow) {
    flow->passes = true;
    for (int end = 0; end < ENDS; end++) {
        line_t *line = line_of(flow, end);
        end_waiting(flow, end);
        line->step = flow->message->step;
        line->passing++;
    }
    move(flow);
}

/* Those that wait at one end of it, as far as there is something free. Gives way. */
static void serve(line_t *line, int end) {
    for (flow_t *flow = line->first; flow;) {
        bool passes = may_pass(flow);
        if (passes) pass(flow);
        else if (!is_free(flow, end) && one_by_one(flow)) return;
        else wait_at(flow, OUT + IN - end);
        flow = passes ? line->first : flow->next[end];
    }
}

void sgp_path_send(flow_t *flow, delivery_t *delivery) {
    bool turns = flow->message->waits_its_turn;
    if (flow->message->sender->cluster->options.line_rate > 0) {
        sgp_deliveries_send(delivery, turns);
        return;
    }
    if (turns && !flow->passes && !flow->waits[OUT] && may_pass(flow)) pass(flow);
    if (!turns) {
        dispatch(flow->message->sender->cluster, delivery);
        return;
    }
    if (!flow->passes && !flow->waits[OUT]) begin_waiting(flow);
    if (!flow->held) flow->last_held = &flow->held;
    put(&flow->last_held, delivery);
    if (flow->passes && !flow->moves) move(flow);
}

/* A chunk has left the links behind. Gives way. */
static void end_chunk(flow_t *flow) {
    if (!flow->message->waits_its_turn) return;
    if (--flow->left > 0) {
        move(flow);
        return;
    }
    line_t *out = line_of(flow, OUT), *in = line_of(flow, IN);
    out->passing--;
    in->passing--;
    serve(out, OUT);
    serve(in, IN);
}

/* Gives way. */
static void carry(sgp_simulated_t *cluster, const delivery_t *delivery) {
    int src = delivery->message->sender->transport.rank;
    cluster->grid->carry(src, delivery->dst, delivery->bytes + SGP_HEADER_BYTES);
}

static void carrier_main(void *argument) {
    sgp_simulated_t *cluster = argument;
    for (;;) {
        cluster->grid->acquire(cluster->work, -1);
        delivery_t *delivery = take(&cluster->waiting, &cluster->last_waiting);
        if (!delivery) break; /* all is over */
        carry(cluster, delivery);
        end_chunk(delivery->flow);
        if (cluster->options.latency_seconds > 0)
            cluster->grid->sleep(cluster->options.latency_seconds);
        arrive(cluster, delivery);
        cluster->idle++;
    }
}
