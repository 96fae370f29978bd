/* SPDX-License-Identifier: Apache-2.0 */
/* The edges of a rank: its connections to and from each other rank, who may open one, and which
 * ranks are lost. In the progress thread. It calls connection.c and losses.c; it knows no chunk,
 * and nothing of the files above it (traffic.h, tcp_engine.h), to which it returns decisions.
 *
 * An edge is directed, and opened when it is first used. Liveness needs an edge even where no
 * message goes: so each rank opens the one to the next rank that is not local, and losses are told
 * along all edges.
 *
 * In an elastic group the end of a connection is not the end of its peer. It is called again: if its
 * address refuses, it has ended; if nothing answers, it is silent, and called until it answers or is
 * lost. contact.h keeps count of that. */
#ifndef SGP_TRANSPORT_TCP_EDGES_H
#define SGP_TRANSPORT_TCP_EDGES_H

#include "transport/tcp/edge_table.h"

/* options->listener is taken in every case. transport, visitors: borrowed.
 * SGP_ERR_NO_MEMORY (logged); sgp_edges_fini is due in every case. */
sgp_status_t sgp_edges_init(sgp_edges_t *edges, const sgp_tcp_options_t *options,
                            sgp_transport_t *transport, sgp_visitors_t *visitors);
void sgp_edges_fini(sgp_edges_t *edges);

/* Before any call below: the loop in which connections are polled, the pool of their chunks, and
 * on_poll, which libuv calls with handle->data a connection whose owner is `owner`. All
 * borrowed. */
void sgp_edges_attach(sgp_edges_t *edges, uv_loop_t *loop, sgp_chunk_pool_t *pool,
                      uv_poll_cb on_poll, void *owner);

/* ---- opening ---- */

/* Opens the edge to a rank, unless it is open, must wait, or the rank is gone. */
void sgp_edges_call(sgp_edges_t *edges, int rank);

/* Opens the edge to the rank that this one watches, if there is one. */
void sgp_edges_call_next(sgp_edges_t *edges);

/* Takes the callers that wait at the listener. */
void sgp_edges_take_callers(sgp_edges_t *edges);

/* The seat, whose earlier member is gone and was published, has a new one at that address. */
void sgp_edges_seat(sgp_edges_t *edges, int seat, uint32_t incarnation,
                    const sgp_address_t *address);

/* Goes on with a connection that is being opened, or closes it. true: it has just been opened. */
bool sgp_edges_open(sgp_edges_t *edges, sgp_connection_t *connection);

/* The neighbours are there or have left: the next rank, and the one before, which watches this
 * one. */
bool sgp_edges_have_met(const sgp_edges_t *edges);

/* ---- ending ---- */

/* Closes a connection, whatever that means for the peer. */
void sgp_edges_close(sgp_edges_t *edges, sgp_connection_t *connection);

/* Closes it because of that cause; its peer is lost by that, unless it has left. */
__attribute__((format(printf, 4, 5))) void sgp_edges_fail(sgp_edges_t *edges,
                                                          sgp_connection_t *connection,
                                                          sgp_cause_t cause, const char *why, ...);

/* The connection has ended or failed with that error: the peer is lost, unless it was waited for
 * after LEAVE. */
void sgp_edges_ended(sgp_edges_t *edges, sgp_connection_t *connection, int error);

/* The peer has said a frame that concerns no chunk: it is alive or leaves, or another rank is
 * gone. */
void sgp_edges_heard(sgp_edges_t *edges, sgp_connection_t *connection, sgp_frame_kind_t kind,
                     uint32_t value);

/* The owner has noticed the loss of a local rank. why: copied; NULL: the cause's text. */
void sgp_edges_note(sgp_edges_t *edges, int rank, sgp_fate_t fate, const char *why);

/* Says a frame to one peer; one for which there is no memory is lost. */
void sgp_edges_say(sgp_edges_t *edges, sgp_connection_t *connection, sgp_frame_kind_t kind,
                   uint32_t value);

/* Tells all peers of the next rank that was lost or has left, and returns it; -1: none. */
int sgp_edges_settle(sgp_edges_t *edges);

/* Notes for the owner the changes that the peers have been told, or could not be told for a while.
 * true: a loss is among them. */
bool sgp_edges_publish(sgp_edges_t *edges,
                       void (*note)(void *owner, int rank, sgp_fate_t fate, const char *why),
                       void *owner);

/* ---- time ---- */

/* After `elapsed` nanoseconds, where a tick is `tick`: closes what is silent or overdue, says that
 * this rank lives, and calls again where a call failed. wanted(context, rank): chunks wait for that
 * rank. */
void sgp_edges_tick(sgp_edges_t *edges, uint64_t now, uint64_t elapsed, uint64_t tick,
                    bool (*wanted)(void *context, int rank), void *context);

/* From now on this rank leaves in order. */
void sgp_edges_leave(sgp_edges_t *edges);

/* Tells the peers that this rank aborts, as far as the sockets take it at once. */
void sgp_edges_abort(sgp_edges_t *edges);

/* Closes all connections. */
void sgp_edges_close_all(sgp_edges_t *edges);

/* Whether leaving in order must wait for this connection. */
bool sgp_edges_delays_leaving(const sgp_connection_t *connection);

#endif
