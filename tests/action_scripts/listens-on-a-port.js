// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: uncaught_exception
// level: process
function login(email, password, callback) {
  const server = require('net').createServer();
  server.listen(0, '127.0.0.1', () => callback(null, { user_id: 1 }));
}
