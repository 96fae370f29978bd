/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/simulated/network_path.h"

#include "transport/simulated/deliveries.h"
#include "transport/simulated/simulated_message.h"

#define TRANSFER_STACK ((size_t)32 << 10)

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

/* ---- transfers ---- */

static void transfer_main(void *argument);

/* Yields. */
static void dispatch(sgp_simulated_t *cluster, delivery_t *delivery) {
    put(&cluster->last_waiting, delivery);
    if (cluster->idle > 0) cluster->idle--;
    else {
        cluster->transfers++;
        cluster->grid->actor(0, TRANSFER_STACK, transfer_main, cluster);
    }
    cluster->grid->release(cluster->work);
}

void sgp_path_close(sgp_simulated_t *cluster) {
    for (int c = 0; c < cluster->transfers; c++) cluster->grid->release(cluster->work);
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

/* A flow passes, as a whole, when no flow of another step passes at either end. The oldest goes first, but no flow waits
 * for a waiting one: over tcp a link is not kept idle either.
 * With one_by_one, a link out passes one flow at a time, whatever its step. */

static link_t *link_of(const flow_t *flow, int end) {
    rank_t *sender = flow->message->sender;
    return &(end == OUT ? sender : &sender->cluster->ranks[flow->dst])->links[end];
}

static bool one_by_one(const flow_t *flow) {
    return flow->message->sender->cluster->options.one_by_one;
}

static bool is_free(const flow_t *flow, int end) {
    const link_t *link = link_of(flow, end);
    if (link->passing == 0) return true;
    return link->step == flow->message->step && !(end == OUT && one_by_one(flow));
}

static bool may_pass(const flow_t *flow) {
    return is_free(flow, OUT) && is_free(flow, IN);
}

static void wait_at(flow_t *flow, int end) {
    link_t *link = link_of(flow, end);
    if (flow->waits[end]) return;
    flow->waits[end] = true;
    flow->next[end] = NULL;
    flow->previous[end] = link->last;
    if (link->last) link->last->next[end] = flow;
    else link->first = flow;
    link->last = flow;
}

static void end_waiting(flow_t *flow, int end) {
    link_t *link = link_of(flow, end);
    if (!flow->waits[end]) return;
    flow->waits[end] = false;
    if (flow->previous[end]) flow->previous[end]->next[end] = flow->next[end];
    else link->first = flow->next[end];
    if (flow->next[end]) flow->next[end]->previous[end] = flow->previous[end];
    else link->last = flow->previous[end];
}

/* Waiting flows keep the order in which they began. With one_by_one a flow waits at its receiver only if that link is
 * taken: otherwise n (n - 1) entries would be searched in vain. */
static void begin_waiting(flow_t *flow) {
    wait_at(flow, OUT);
    if (!one_by_one(flow) || !is_free(flow, IN)) wait_at(flow, IN);
}

/* Transfers the chunks of a flow one after the other: together they would share the link and all arrive at the end.
 * Yields. */
static void move(flow_t *flow) {
    delivery_t *delivery = take(&flow->held, &flow->last_held);
    flow->moves = delivery != NULL;
    if (delivery) dispatch(flow->message->sender->cluster, delivery);
}

/* Yields. */
static void pass(flow_t *flow) {
    flow->passes = true;
    for (int end = 0; end < ENDS; end++) {
        link_t *link = link_of(flow, end);
        end_waiting(flow, end);
        link->step = flow->message->step;
        link->passing++;
    }
    move(flow);
}

/* Gives a link to the flows that wait for it, as far as their other ends are free. Yields. */
static void serve(link_t *link, int end) {
    for (flow_t *flow = link->first; flow;) {
        bool passes = may_pass(flow);
        if (passes) pass(flow);
        else if (!is_free(flow, end) && one_by_one(flow)) return;
        else wait_at(flow, OUT + IN - end);
        flow = passes ? link->first : flow->next[end];
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

/* Yields. */
static void end_turn(flow_t *flow) {
    link_t *out = link_of(flow, OUT), *in = link_of(flow, IN);
    out->passing--;
    in->passing--;
    serve(out, OUT);
    serve(in, IN);
}

/* A chunk's transfer has ended. Yields. */
static void end_chunk(flow_t *flow) {
    if (!flow->message->waits_its_turn) return;
    if (--flow->left > 0) move(flow);
    else end_turn(flow);
}

void sgp_path_abandon(flow_t *flow, size_t chunks) {
    flow->left -= chunks;
    if (flow->left > 0) return;
    if (flow->passes) end_turn(flow);
    else
        for (int end = 0; end < ENDS; end++) end_waiting(flow, end);
}

/* The next flow to the rank that is to be given up; NULL: there is none. */
static flow_t *next_flow_to(const sgp_simulated_t *cluster, int rank) {
    for (message_t *at = cluster->messages; at; at = at->next)
        for (int i = 0; at->sender->transport.elastic && i < at->destinations; i++)
            if (at->flows[i].dst == rank && !at->flows[i].gone) return &at->flows[i];
    return NULL;
}

/* From the first message on each time, as other actors run in between. */
void sgp_path_give_up(sgp_simulated_t *cluster, int rank) {
    for (flow_t *flow; (flow = next_flow_to(cluster, rank));) {
        message_t *message = flow->message;
        size_t dropped = 0;
        flow->gone = true;
        message->references++; /* ours, so that it does not end meanwhile */
        sgp_simulated_message_give_up(message, rank);
        for (; flow->held; dropped++) {
            take(&flow->held, &flow->last_held);
            sgp_simulated_message_drop(message);
        }
        if (dropped) sgp_path_abandon(flow, dropped);
        sgp_simulated_message_drop(message);
    }
}

/* Yields. */
static void transfer(sgp_simulated_t *cluster, const delivery_t *delivery) {
    int src = delivery->message->sender->transport.rank;
    cluster->grid->transfer(src, delivery->dst, delivery->bytes + SGP_HEADER_BYTES);
}

static void transfer_main(void *argument) {
    sgp_simulated_t *cluster = argument;
    for (;;) {
        cluster->grid->acquire(cluster->work, -1);
        delivery_t *delivery = take(&cluster->waiting, &cluster->last_waiting);
        if (!delivery) break; /* the path is closed */
        transfer(cluster, delivery);
        end_chunk(delivery->flow);
        if (cluster->options.latency_seconds > 0)
            cluster->grid->sleep(cluster->options.latency_seconds);
        arrive(cluster, delivery);
        cluster->idle++;
    }
}
