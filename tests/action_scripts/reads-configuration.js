// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// configuration: {"DATABASE_URL":"postgres://db.example.com","N":"1"}
// value: {"user_id":1,"url":"postgres://db.example.com","keys":["DATABASE_URL","N"]}
function login(email, password, callback) {
  callback(null, { user_id: 1, url: configuration.DATABASE_URL, keys: Object.keys(configuration) });
}
