CREATE INDEX knows_b ON knows(b);
CREATE INDEX message_sender ON message(sender, receiver);
-- How far the first people reach.
WITH RECURSIVE reach(person, steps) AS (
  SELECT 0, 0 UNION SELECT b, steps + 1 FROM reach JOIN knows ON a = person WHERE steps < 9)
  SELECT steps, count(*) FROM (SELECT person, min(steps) AS steps FROM reach GROUP BY person) GROUP BY steps ORDER BY steps;
-- Triangles.
SELECT count(*) FROM knows x JOIN knows y ON y.a = x.b JOIN knows z ON z.a = y.b AND z.b = x.a;
-- Friends of friends that one does not know.
SELECT x.a, count(*) FROM knows x JOIN knows y ON y.a = x.b WHERE x.a % 16 = 0
  AND NOT EXISTS (SELECT 1 FROM knows z WHERE z.a = x.a AND z.b = y.b) GROUP BY x.a ORDER BY 2 DESC, 1 LIMIT 10;
-- Words of all messages, by splitting.
CREATE TABLE word(text TEXT, message INTEGER);
INSERT INTO word
  WITH RECURSIVE split(id, word, rest) AS (
    SELECT id, '', body || ' ' FROM message
    UNION ALL SELECT id, substr(rest, 1, instr(rest, ' ') - 1), substr(rest, instr(rest, ' ') + 1) FROM split WHERE rest <> '')
  SELECT word, id FROM split WHERE word <> '';
CREATE INDEX word_text ON word(text);
SELECT text, count(*) AS uses, count(DISTINCT message) FROM word GROUP BY text ORDER BY uses DESC, text LIMIT 15;
-- Search without an index.
SELECT count(*), sum(length(body)) FROM message WHERE body LIKE '%ing%ent%' OR body GLOB '*qu*on*';
SELECT count(*), sum(length(replace(replace(upper(body), 'AN', 'un'), 'ER', ''))) FROM message;
-- JSON built and taken apart.
SELECT count(*), sum(json_extract(row, '$.to')), sum(json_array_length(row, '$.words')) FROM (
  SELECT json_object('from', sender, 'to', receiver, 'words', json_array(substr(body, 1, 5), length(body), body)) AS row FROM message);
-- Who writes to whom and is known.
SELECT count(*), sum(since) FROM message JOIN knows ON a = sender AND b = receiver;
SELECT receiver, count(*), max(length(body)) FROM message GROUP BY receiver ORDER BY 2 DESC, 1 LIMIT 10;
DELETE FROM knows WHERE (a * 7 + b) % 5 = 0;
SELECT count(*), sum(a), sum(b) FROM knows;
