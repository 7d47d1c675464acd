/* SPDX-License-Identifier: Apache-2.0 */
/* Two agents in a pod: the rules of one are in the other's way, of which an engine tells by script.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine.h"
#include "agent/takeover.h"
#include "core/err.h"

struct engine {
	int configures, result;
};

int engine_configure(struct engine *engine, const struct engine_config *config, struct err *err)
{
	(void)config;
	engine->configures++;
	return engine->result < 0 ? err_set_errno(err, engine->result, "rules") : 0;
}

struct world {
	uv_loop_t loop;
	struct engine engine;
	struct takeover takeover;
	int told, r;
	int64_t generation;
	char message[ERR_MSG_BYTES];
};

static void on_tried(void *user, const struct control_config *config, int r, const struct err *err)
{
	struct world *world = user;

	world->told++;
	world->r = r;
	world->generation = config->generation;
	(void)snprintf(world->message, sizeof(world->message), "%s", err->msg);
}

static void start(struct world *world, int result)
{
	*world = (struct world){.engine = {.result = result}};
	assert_int_equal(uv_loop_init(&world->loop), 0);
	takeover_init(&world->takeover, &world->loop, &world->engine, on_tried, world);
}

static void configure(struct world *world, int64_t generation)
{
	const struct control_config config = {.generation = generation};

	takeover_configure(&world->takeover, &config);
}

/* A few more tries, if it tries. */
static void turn(struct world *world)
{
	int before = world->engine.configures;

	while (world->engine.configures < before + 3 && uv_run(&world->loop, UV_RUN_ONCE) != 0)
		;
}

static void stop(struct world *world)
{
	takeover_stop(&world->takeover);
	(void)uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

static void tells_at_once_what_is_not_of_another_agent(void **state)
{
	struct world world;

	(void)state;
	start(&world, 0);
	configure(&world, 1);
	assert_int_equal(world.told, 1);
	assert_int_equal(world.r, 0);
	world.engine.result = -EPERM;
	configure(&world, 2);
	assert_int_equal(world.told, 2);
	assert_int_equal(world.r, -EPERM);
	assert_int_equal(world.generation, 2);
	stop(&world);
}

static void waits_until_the_rules_are_free(void **state)
{
	struct world world;

	(void)state;
	start(&world, -EBUSY);
	configure(&world, 1);
	turn(&world);
	/* What it is told meanwhile counts instead. */
	configure(&world, 2);
	turn(&world);
	assert_int_equal(world.told, 0);
	world.engine.result = 0;
	turn(&world);
	assert_int_equal(world.told, 1);
	assert_int_equal(world.r, 0);
	assert_int_equal(world.generation, 2);
	stop(&world);
}

/* Once; and it takes them all the same when they are free. */
static void says_when_it_takes_long(void **state)
{
	struct world world;

	(void)state;
	start(&world, -EBUSY);
	configure(&world, 1);
	world.takeover.since_ms -= TAKEOVER_MS;
	turn(&world);
	assert_int_equal(world.told, 1);
	assert_int_equal(world.r, -EBUSY);
	assert_non_null(strstr(world.message, "has kept it for 12 s"));
	/* A later configuration is not waited for anew. */
	configure(&world, 2);
	assert_int_equal(world.told, 2);
	assert_int_equal(world.generation, 2);
	turn(&world);
	assert_int_equal(world.told, 2);
	world.engine.result = 0;
	turn(&world);
	assert_int_equal(world.told, 3);
	assert_int_equal(world.r, 0);
	stop(&world);
}

static void gives_up_when_the_manager_is_lost(void **state)
{
	struct world world;

	(void)state;
	start(&world, -EBUSY);
	configure(&world, 1);
	takeover_cancel(&world.takeover);
	(void)uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.engine.configures, 1);
	assert_int_equal(world.told, 0);
	stop(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_at_once_what_is_not_of_another_agent),
		cmocka_unit_test(waits_until_the_rules_are_free),
		cmocka_unit_test(says_when_it_takes_long),
		cmocka_unit_test(gives_up_when_the_manager_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
