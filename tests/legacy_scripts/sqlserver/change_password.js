function changePassword(email, newPassword, callback) {
  const bcrypt = require('bcrypt');
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'store',
      rowCollectionOnRequestCompletion: true
    }
  });

  // The driver begins to connect long before anybody listens: the hash takes its time.
  bcrypt.hash(newPassword, 4, function (err, hash) {
    if (err) return callback(err);
    connection.on('connect', function (err) {
      if (err) return callback(err);
      const request = new Request('UPDATE dbo.Users SET Password = @NewPassword WHERE Email = @Email', function (err, rows) {
        callback(err, rows > 0);
      });
      request.addParameter('NewPassword', TYPES.VarChar, hash);
      request.addParameter('Email', TYPES.VarChar, email);
      connection.execSql(request);
    });
  });
}
