// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// configuration: {"TABLE":"theirs"}
// value: {"user_id":1,"table":"theirs","frozen":true}
function login(email, password, callback) {
  configuration.TABLE = 'mine';
  configuration.more = 'x';
  delete configuration.TABLE;
  configuration = {};
  callback(null, { user_id: 1, table: configuration.TABLE, frozen: Object.isFrozen(configuration) });
}
