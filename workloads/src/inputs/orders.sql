CREATE INDEX line_customer ON line(customer);
CREATE INDEX line_item_day ON line(item, day);
-- Joins at random, sums by group.
SELECT city, count(*), sum(amount), round(sum(amount * price), 2) AS worth
  FROM line JOIN customer ON customer.id = line.customer JOIN item ON item.id = line.item
  GROUP BY city ORDER BY worth DESC, city LIMIT 12;
SELECT item.title, count(DISTINCT customer), max(day) - min(day) FROM item JOIN line ON line.item = item.id
  GROUP BY item.id HAVING count(*) > 3 ORDER BY 2 DESC, 1 LIMIT 12;
-- Windows: sorts and running sums.
SELECT customer, day, running FROM (
  SELECT customer, day, sum(amount) OVER (PARTITION BY customer ORDER BY day, id) AS running,
         row_number() OVER (PARTITION BY customer ORDER BY day DESC, id DESC) AS latest FROM line)
  WHERE latest = 1 ORDER BY running DESC, customer LIMIT 12;
SELECT day / 30, sum(amount), round(avg(avg30), 4) FROM (
  SELECT day, amount, avg(amount) OVER (ORDER BY day, id ROWS BETWEEN 30 PRECEDING AND CURRENT ROW) AS avg30 FROM line)
  GROUP BY 1 ORDER BY 1;
-- Pairs of items bought on the same day by the same customer.
SELECT count(*), sum(a.amount * b.amount) FROM line a JOIN line b ON b.customer = a.customer AND b.day = a.day AND b.id > a.id;
-- Changes of many rows, with their indices.
BEGIN;
UPDATE item SET stock = stock - (SELECT count(*) FROM line WHERE line.item = item.id AND day > 700);
UPDATE line SET day = day + 1, amount = amount % 7 + 1 WHERE id % 3 = 0;
DELETE FROM line WHERE id % 10 = 7;
COMMIT;
SELECT count(*), sum(stock) FROM item;
SELECT count(*), sum(day), sum(amount) FROM line;
-- Text.
SELECT count(*), sum(length(name)) FROM customer WHERE name LIKE '%an%er%' OR upper(city) LIKE 'B%N';
SELECT substr(name, 1, 2) AS start, count(*), group_concat(DISTINCT substr(city, 1, 1)) FROM (SELECT * FROM customer ORDER BY id)
  GROUP BY start ORDER BY 2 DESC, 1 LIMIT 8;
PRAGMA integrity_check;
