// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
(email, password, callback) => callback(null, { user_id: 1 })
