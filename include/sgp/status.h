/* SPDX-License-Identifier: Apache-2.0 */
/* Status codes. 0 is success; every error is negative and grouped by what it ends. */
#ifndef SGP_STATUS_H
#define SGP_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SGP_API __attribute__((visibility("default")))
#else
#define SGP_API
#endif

/* X(name, value, message) */
#define SGP_STATUS_MAP(X)                                                                          \
    /* these end the call: state is as before it */                                                \
    X(OK, 0, "success")                                                                            \
    X(ERR_AGAIN, -1, "nothing there yet")                                                          \
    X(ERR_INVALID, -2, "invalid argument")                                                         \
    X(ERR_NO_MEMORY, -3, "out of memory")                                                          \
    X(ERR_NOT_FOUND, -4, "not found")                                                              \
    X(ERR_FORMAT, -5, "malformed data")                                                            \
    X(ERR_IO, -6, "input or output failed")                                                        \
    X(ERR_UNSUPPORTED, -7, "not supported here")                                                   \
    X(ERR_REFUSED, -8, "message refused")                                                          \
    /* these end what needs the peer, so the run for the mixers of its group: leave the group */   \
    X(ERR_PEER_LOST, -20, "a peer is gone")                                                        \
    X(ERR_TIMEOUT, -21, "timed out")                                                               \
    /* these end the run */                                                                        \
    X(ERR_MISMATCH, -40, "the nodes disagree")                                                     \
    X(ERR_INTERRUPTED, -41, "interrupted")                                                         \
    X(ERR_SYSTEM, -42, "a system call failed")                                                     \
    X(ERR_NOT_FINITE, -43, "a number is not finite")                                               \
    X(ERR_ENDED, -44, "another node has ended the run")

typedef enum sgp_status {
#define SGP_STATUS_ENUM(name, value, message) SGP_##name = (value),
    SGP_STATUS_MAP(SGP_STATUS_ENUM)
#undef SGP_STATUS_ENUM
} sgp_status_t;

/* The code's name, such as "SGP_ERR_TIMEOUT"; never NULL, static. */
SGP_API const char *sgp_status_name(sgp_status_t status);

/* A short English sentence; never NULL, static. */
SGP_API const char *sgp_status_message(sgp_status_t status);

#ifdef __cplusplus
}
#endif
#endif
