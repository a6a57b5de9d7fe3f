// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"mysql":"function"}
function login(email, password, callback) {
  const get = require('lodash/get');
  const mysql = require('mysql2/promise');
  callback(null, { user_id: get({ a: [1] }, 'a[0]'), mysql: typeof mysql.createConnection });
}
