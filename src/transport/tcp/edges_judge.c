/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/edges_judge.h"

#include <inttypes.h>
#include <string.h>

static int seats_of(const sgp_hello_t *hello) {
    return hello->capacity ? hello->capacity : hello->size;
}

/* Both sides must be of the same run, size and chunk size. false: the handshake is refused. */
static bool judge_group(const sgp_edges_t *edges, sgp_handshake_t *handshake) {
    const sgp_hello_t *theirs = &handshake->theirs, *mine = &edges->connections.hello;
    if (theirs->run != mine->run) sgp_handshake_refuse(handshake, "it belongs to another run");
    else if (theirs->size != mine->size)
        sgp_handshake_refuse(handshake, "it counts %d processes, and here are %d", theirs->size,
                             mine->size);
    else if (seats_of(theirs) != seats_of(mine))
        sgp_handshake_refuse(handshake, "it has room for %d nodes, and here it is for %d",
                             seats_of(theirs), seats_of(mine));
    else if (theirs->fingerprint != mine->fingerprint)
        sgp_handshake_refuse(handshake, "its chunks have %llu bytes, and here %llu",
                             (unsigned long long)theirs->fingerprint,
                             (unsigned long long)mine->fingerprint);
    else return true;
    return false;
}

/* A process that asks to join the running group. One for which there is no place now calls again. */
static sgp_judgement_t judge_visitor(sgp_edges_t *edges, sgp_connection_t *connection) {
    sgp_handshake_t *handshake = &connection->handshake;
    const char *mine = edges->connections.hello.version, *theirs = handshake->theirs.version;
    if (strcmp(theirs, mine) != 0)
        sgp_handshake_refuse(handshake, "it has sgp %s, and here is %s", theirs, mine);
    else if (!sgp_visitors_are_admitted(edges->visitors))
        sgp_handshake_refuse(handshake, "the group takes no newcomers");
    else if (sgp_visitors_are_many(edges->visitors)) return SGP_JUDGED_LATER;
    else sgp_connection_accept(connection, -1);
    return SGP_JUDGED;
}

static bool may_call(const sgp_edges_t *edges, sgp_connection_t *connection) {
    sgp_handshake_t *handshake = &connection->handshake;
    char address[SGP_ADDRESS_TEXT];
    bool open = edges->connections.key || edges->insecure;
    if (!open && !sgp_address_is_here(&connection->other))
        sgp_handshake_refuse(handshake,
                             "%s is another machine, and there is no key: give all nodes the same "
                             "--key-file, or --insecure",
                             sgp_address_text(&connection->other, address));
    else if (handshake->theirs.purpose == SGP_PURPOSE_JOIN)
        sgp_handshake_refuse(handshake, "the group is full: all %d processes have come",
                             edges->transport->size);
    else if (handshake->theirs.purpose == SGP_PURPOSE_ENTER) return true;
    else return judge_group(edges, handshake);
    return false;
}

/* A newcomer that this rank has not been told of yet: it calls again. */
static bool is_early(const sgp_edges_t *edges, const sgp_connection_t *connection) {
    const sgp_hello_t *theirs = &connection->handshake.theirs;
    bool absent = sgp_losses_state(&edges->losses, theirs->rank) == SGP_FATE_ABSENT;
    return absent || theirs->incarnation > edges->of[theirs->rank].incarnation;
}

static sgp_judgement_t judge_caller(sgp_edges_t *edges, sgp_connection_t *connection) {
    if (!may_call(edges, connection)) return SGP_JUDGED;
    int rank = connection->handshake.theirs.rank;
    if (connection->handshake.theirs.purpose == SGP_PURPOSE_ENTER)
        return judge_visitor(edges, connection);
    bool is_seat = rank >= 0 && rank < edges->capacity && rank != edges->rank;
    if (is_seat && is_early(edges, connection)) return SGP_JUDGED_LATER;
    if (!is_seat || edges->of[rank].local)
        sgp_handshake_refuse(&connection->handshake, "rank %d has no business here", rank);
    else if (connection->handshake.theirs.incarnation < edges->of[rank].incarnation)
        sgp_handshake_refuse(&connection->handshake, "seat %d has gone to another", rank);
    else if (edges->of[rank].in) return SGP_JUDGED_SECOND;
    else {
        edges->of[rank].in = connection;
        sgp_connection_accept(connection, rank);
    }
    return SGP_JUDGED;
}

static void judge_answerer(sgp_edges_t *edges, sgp_connection_t *connection) {
    int rank = connection->handshake.theirs.rank;
    uint32_t incarnation = connection->handshake.theirs.incarnation;
    if (!judge_group(edges, &connection->handshake)) return;
    if (rank == connection->peer && incarnation != edges->of[rank].incarnation)
        sgp_handshake_refuse(&connection->handshake,
                             "it is incarnation %" PRIu32 " of seat %d, and %" PRIu32 " was called",
                             incarnation, rank, edges->of[rank].incarnation);
    else if (rank == connection->peer) sgp_connection_accept(connection, rank);
    else
        sgp_handshake_refuse(&connection->handshake, "it has rank %d, and %d was called", rank,
                             connection->peer);
}

sgp_judgement_t sgp_edges_judge(sgp_edges_t *edges, sgp_connection_t *connection) {
    if (!connection->caller) return judge_caller(edges, connection);
    judge_answerer(edges, connection);
    return SGP_JUDGED;
}
