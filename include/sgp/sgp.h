/* SPDX-License-Identifier: Apache-2.0 */
/* include/sgp is the library's public interface, and includes nothing else of the tree: join a group, create a mixer over a
 * vector, step, read, leave. This header includes all of it; start reading with sgp/mixer.h. */
#ifndef SGP_SGP_H
#define SGP_SGP_H

#include <sgp/encoding.h>
#include <sgp/graph.h>
#include <sgp/group.h>
#include <sgp/log.h>
#include <sgp/mixer.h>
#include <sgp/optimizer.h>
#include <sgp/status.h>
#include <sgp/version.h>

#endif
