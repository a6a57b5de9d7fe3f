// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: unhandled_rejection
// message: nobody listens
function login(email, password, callback) {
  setTimeout(() => Promise.reject(new Error('nobody listens')), 1);
}
