// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  const server = require('net').createServer();
  server.listen(0, '127.0.0.1', () => callback(null, { user_id: 1 }));
}
