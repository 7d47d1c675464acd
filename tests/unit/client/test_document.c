/* SPDX-License-Identifier: Apache-2.0 */
/* What --output yaml prints is what --output json prints: read back by the project's own reader. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/cli/document.h"
#include "cluster/manifests.h"
#include "core/alloc.h"
#include "core/err.h"

static char *written(int (*write)(FILE *, json_object *), json_object *document)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(write(out, document), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static json_object *parsed(const char *json)
{
	json_object *object = json_tokener_parse(json);

	assert_non_null(object);
	return object;
}

static void it_reads_as_people_expect(void **state)
{
	json_object *document =
		parsed("{\"name\":\"web\",\"port\":8080,\"ready\":true,\"since\":null,"
		       "\"uri\":\"https://a.b:6443/x\",\"none\":[],\"empty\":{},"
		       "\"ports\":[{\"name\":\"http\"},{\"name\":\"0\"}],"
		       "\"text\":\"one\\n  two\\n\"}");
	auto_free char *text = written(document_yaml, document);

	(void)state;
	assert_string_equal(text, "name: web\n"
				  "port: 8080\n"
				  "ready: true\n"
				  "since: null\n"
				  "uri: https://a.b:6443/x\n"
				  "none: []\n"
				  "empty: {}\n"
				  "ports:\n"
				  "- name: http\n"
				  "- name: '0'\n"
				  "text: |\n"
				  "  one\n"
				  "    two\n");
	json_object_put(document);
}

static void a_string_stays_a_string(void **state)
{
	static const char *const strings[] = {"", " ", "~", "null", "NO", "on", "true", "y", "1",
		"0x1f", "1e3", "-1", ".inf", "2026-11-30", "12:30:45", "a: b", "a #b", "- a", "? a",
		"'", "\"", "\\", "a\nb", "\na", "a\n", "a\n\n", "  a\nb", "a\tb", "\x01\x7f",
		"\xc3\xa4\xe2\x82\xac", "\xf0\x9f\x8e\x89", "&a", "*a", "!a", "%a", "@a", "`a",
		"{a", "[a", "a,b", "---", "...", "=", "<<", "a ", "/path", "x: |\n  y"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		json_object *document = json_object_new_object(), *read = NULL;
		auto_free char *yaml = NULL;
		struct err err = ERR_INIT;

		json_object_object_add(document, "s", json_object_new_string(strings[i]));
		yaml = written(document_yaml, document);
		if (yaml_to_json(yaml, strlen(yaml), &read, &err) < 0)
			fail_msg("\"%s\": %s, of:\n%s", strings[i], err.msg, yaml);
		assert_int_equal(json_object_array_length(read), 1);
		assert_true(json_object_equal(json_object_array_get_idx(read, 0), document));
		json_object_put(read);
		json_object_put(document);
	}
}

static void json_is_one_indented_document(void **state)
{
	json_object *document = parsed("{\"uri\":\"https://a/b\"}");
	auto_free char *text = written(document_json, document);

	(void)state;
	assert_string_equal(text, "{\n  \"uri\":\"https://a/b\"\n}\n");
	json_object_put(document);
}

static void what_is_nested_too_deep_is_refused(void **state)
{
	json_object *document = json_object_new_array();
	FILE *null = fopen("/dev/null", "w");

	(void)state;
	assert_non_null(null);
	for (int i = 1; i < DOCUMENT_DEPTH; i++) {
		json_object *outer = json_object_new_array();

		json_object_array_add(outer, document);
		document = outer;
	}
	assert_int_equal(document_yaml(null, document), 0);
	json_object *outer = json_object_new_array();
	json_object_array_add(outer, document);
	assert_int_equal(document_yaml(null, outer), -E2BIG);
	json_object_put(outer);
	(void)fclose(null);
}

static void a_full_disk_is_an_error(void **state)
{
	json_object *document = json_object_new_object();
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(full);
	setvbuf(full, NULL, _IONBF, 0);
	json_object_object_add(document, "a", json_object_new_int(1));
	assert_int_equal(document_yaml(full, document), -EIO);
	assert_int_equal(document_json(full, document), -EIO);
	(void)fclose(full);
	json_object_put(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_reads_as_people_expect),
		cmocka_unit_test(a_string_stays_a_string),
		cmocka_unit_test(json_is_one_indented_document),
		cmocka_unit_test(what_is_nested_too_deep_is_refused),
		cmocka_unit_test(a_full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
