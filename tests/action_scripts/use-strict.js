// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
'use strict';

function login(email, password, callback) {
  callback(null, { user_id: this === undefined ? 1 : 2 });
}
